// Draws the panels of a Grafana dashboard with Grafana's own components, from what Prometheus answered.

import "@fontsource/inter/400.css";
import "@fontsource/inter/500.css";
import {
  FieldType,
  Registry,
  ThemeContext,
  applyFieldOverrides,
  createDataFrame,
  createTheme,
  dateTime,
  getFieldDisplayValues,
  standardTransformers,
  standardTransformersRegistry,
  transformDataFrame,
} from "@grafana/data";
import {
  BigValue,
  GlobalStyles,
  PanelChrome,
  Table,
  TimeSeries,
  VizLegend,
} from "@grafana/ui";
import React from "react";
import { createRoot } from "react-dom/client";
import { lastValueFrom } from "rxjs";

const CELL = 30; // Grafana's grid: the height of a row, and the gap between two
const GAP = 8;
const theme = createTheme({ colors: { mode: "light" } });
const asIs = (text) => text;

standardTransformersRegistry.setInit(() =>
  [standardTransformers.mergeTransformer, standardTransformers.organizeFieldsTransformer].map(
    (transformation) => ({ id: transformation.id, name: transformation.name, transformation }),
  ),
);

// Which fields of a panel's "fieldConfig" there are; Grafana has editors for them.
const SETTINGS = ["unit", "min", "max", "decimals", "color", "thresholds"];
const CUSTOM = [
  "align",
  "cellOptions",
  "drawStyle",
  "fillOpacity",
  "lineWidth",
  "showPoints",
  "stacking",
  "thresholdsStyle",
  "width",
];
const fieldConfigRegistry = new Registry(() =>
  [...SETTINGS, ...CUSTOM].map((id) => ({
    id: CUSTOM.includes(id) ? `custom.${id}` : id,
    path: id,
    name: id,
    isCustom: CUSTOM.includes(id),
    process: asIs,
    override: asIs,
    shouldApply: () => true,
  })),
);

const range = ({ start, end }) => {
  const raw = { from: dateTime(start * 1000), to: dateTime(end * 1000) };
  return { ...raw, raw };
};

// The frames of a panel, as Grafana's data source makes them of the answers of Prometheus.

const seriesFrames = ({ refId, series }) =>
  series.map(({ legend, labels, values }) =>
    createDataFrame({
      refId,
      fields: [
        { name: "Time", type: FieldType.time, values: values.map(([at]) => at * 1000) },
        {
          name: "Value",
          type: FieldType.number,
          labels,
          config: legend ? { displayNameFromDS: legend } : {},
          values: values.map(([, value]) => Number(value)),
        },
      ],
    }),
  );

const tableFrame = ({ refId, series }, _, { length }) => {
  const names = [...new Set(series.flatMap(({ labels }) => Object.keys(labels)))].sort();
  const last = ({ values }) => values[values.length - 1];
  return createDataFrame({
    refId,
    fields: [
      { name: "Time", type: FieldType.time, values: series.map((one) => last(one)[0] * 1000) },
      ...names.map((name) => ({
        name,
        type: FieldType.string,
        config: { filterable: true },
        values: series.map(({ labels }) => labels[name]),
      })),
      {
        name: length > 1 ? `Value #${refId}` : "Value",
        type: FieldType.number,
        values: series.map((one) => Number(last(one)[1])),
      },
    ],
  });
};

async function framesOf(panel, answers) {
  const frames =
    panel.type === "table" ? answers.map(tableFrame) : answers.flatMap(seriesFrames);
  const transformed = await lastValueFrom(
    transformDataFrame(panel.transformations ?? [], frames, { interpolate: asIs }),
  );
  return applyFieldOverrides({
    data: transformed,
    fieldConfig: panel.fieldConfig,
    fieldConfigRegistry,
    replaceVariables: asIs,
    theme,
    timeZone: "utc",
  });
}

// One component for each type of panel

function Stat({ panel, frames, width, height }) {
  const { options } = panel;
  const values = getFieldDisplayValues({
    fieldConfig: panel.fieldConfig,
    reduceOptions: options.reduceOptions,
    replaceVariables: asIs,
    theme,
    data: frames,
    sparkline: options.graphMode !== "none",
    timeZone: "utc",
  });
  return (
    <BigValue
      theme={theme}
      width={width}
      height={height}
      count={values.length}
      value={values[0].display}
      sparkline={values[0].sparkline}
      colorMode={options.colorMode}
      graphMode={options.graphMode}
      justifyMode={options.justifyMode}
      textMode={options.textMode}
    />
  );
}

const Lines = ({ panel, frames, width, height, timeRange }) => (
  <TimeSeries
    frames={frames}
    structureRev={1}
    timeRange={timeRange}
    timeZone="utc"
    width={width}
    height={height}
    legend={panel.options.legend}
    options={panel.options}
  />
);

const Rows = ({ panel, frames, width, height }) => (
  <Table
    data={frames[0]}
    width={width}
    height={height}
    cellHeight={panel.options.cellHeight}
    initialSortBy={panel.options.sortBy}
  />
);

// Grafana's packages have no state timeline, so this one is drawn here: a row for each series.
function StateTimeline({ panel, frames, width, height, timeRange }) {
  const left = 110;
  const from = timeRange.from.valueOf();
  const scale = (width - left) / (timeRange.to.valueOf() - from);
  const rowHeight = (height - 48) / frames.length;
  const { steps } = panel.fieldConfig.defaults.thresholds;
  const ticks = [0.1, 0.3, 0.5, 0.7, 0.9].map((part) => left + part * (width - left));
  const statesOf = ({ fields: [time, value] }) => {
    const colors = value.values.map((one) => value.display(one).color);
    const starts = colors.flatMap((color, at) => (color === colors[at - 1] ? [] : [at]));
    return starts.map((start, index) => ({
      at: time.values[start],
      until: time.values[starts[index + 1] ?? colors.length - 1],
      color: colors[start],
    }));
  };
  const rows = frames.flatMap((frame, row) =>
    statesOf(frame).map(({ at, until, color }) => (
      <rect
        key={`${row} ${at}`}
        x={left + (at - from) * scale}
        width={(until - at) * scale}
        y={row * rowHeight + rowHeight * 0.05}
        height={rowHeight * panel.options.rowHeight}
        fill={color}
        fillOpacity={panel.fieldConfig.defaults.custom.fillOpacity / 100}
      />
    )),
  );
  const text = { fill: theme.colors.text.primary, fontSize: 12 };
  return (
    <>
      <svg width={width} height={height - 24}>
        {rows}
        {frames.map(({ fields: [, value] }, row) => (
          <text key={row} {...text} x={left - 8} y={(row + 0.5) * rowHeight + 4} textAnchor="end">
            {value.state?.displayName ?? value.config.displayNameFromDS}
          </text>
        ))}
        {ticks.map((x) => (
          <text key={x} {...text} x={x} y={height - 30} textAnchor="middle">
            {dateTime(from + (x - left) / scale).utc().format("HH:mm:ss")}
          </text>
        ))}
      </svg>
      <VizLegend
        placement="bottom"
        displayMode="list"
        items={steps.map(({ color, value }, index) => ({
          label: value === null ? `< ${steps[index + 1].value * 100}%` : `${value * 100}%+`,
          color: theme.visualization.getColorByName(color),
          yAxis: 1,
        }))}
      />
    </>
  );
}

const DRAWN_BY = { stat: Stat, timeseries: Lines, table: Rows, "state-timeline": StateTimeline };

function Panel({ panel, frames, timeRange, column }) {
  const { x, y, w, h } = panel.gridPos;
  const place = {
    position: "absolute",
    left: x * column,
    top: y * (CELL + GAP),
    width: w * column - GAP,
    height: h * (CELL + GAP) - GAP,
  };
  if (panel.type === "row") {
    return <div style={{ ...place, fontSize: 16, fontWeight: 500, padding: 4 }}>⌄ {panel.title}</div>;
  }
  const Drawn = DRAWN_BY[panel.type];
  return (
    <div style={place}>
      <PanelChrome title={panel.title} width={place.width} height={place.height}>
        {(width, height) => <Drawn {...{ panel, frames, width, height, timeRange }} />}
      </PanelChrome>
    </div>
  );
}

async function main() {
  const answer = await (await fetch("answers.json")).json();
  const { title, panels, width } = answer;
  const timeRange = range(answer);
  const column = (width - GAP) / 24; // GAP: on the left; each panel has one on its right
  const drawn = await Promise.all(
    panels.map(async (panel) => ({
      panel,
      frames: panel.type === "row" ? [] : await framesOf(panel, panel.answers),
    })),
  );
  createRoot(document.getElementById("root")).render(
    <ThemeContext.Provider value={theme}>
      <GlobalStyles />
      <div style={{ paddingLeft: GAP }}>
        <h3 style={{ margin: 0, padding: "12px 4px" }}>{title}</h3>
        <div style={{ position: "relative" }}>
          {drawn.map((one) => (
            <Panel key={one.panel.id} {...one} timeRange={timeRange} column={column} />
          ))}
        </div>
      </div>
    </ThemeContext.Provider>,
  );
}

main();
