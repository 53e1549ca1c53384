"""The errors and the warning of antflow.

AntFlowError
├── PipelineError                 a pipeline was used in a way it cannot follow
│   └── StageValidationError      a stage was configured in a way it cannot follow
├── PluginError                   a plugin cannot take part, or raised where that is not forgiven
└── TaskFailedError               for programs that raise a failed task's error; antflow does not

PluginWarning                     a plugin is left out, or something around plugins is wrong
"""


def text_of(error: BaseException) -> str:
    """Return an error's text on one line, also where it cannot say it."""
    try:
        return " ".join(str(error).split())
    except Exception as problem:
        return f"(no text: {type(problem).__name__} in __str__)"


class AntFlowError(Exception):
    """Base of every error that antflow itself raises."""


class PipelineError(AntFlowError):
    """A pipeline was defined or used in a way that it cannot follow."""


class StageValidationError(PipelineError):
    """A stage's configuration contradicts itself; the text names the stage and the remedy."""


class PluginError(AntFlowError):
    """A plugin cannot take part, or raised where `ANTFLOW_STRICT_PLUGINS` does not forgive that.

    Args:
        text: what is wrong.
        plugin: the plugin's name.
        hook: the hook that raised; None for a plugin that cannot take part.
        item_id: id of the item that the hook was told of; None where there is none.
    """

    def __init__(
        self, text: str, *, plugin: str, hook: str | None = None, item_id: object = None
    ) -> None:
        super().__init__(text)
        self.plugin = plugin
        self.hook = hook
        self.item_id = item_id


class PluginWarning(UserWarning):
    """A plugin is left out, or something around plugins is wrong; the text has the remedy."""


class TaskFailedError(AntFlowError):
    """A task failed: for programs that raise an error of their own where they need its result.

    antflow itself raises it nowhere; a failed item has what its task raised in `error`.

    Args:
        task_name: the name of the task.
        original_exception: what the task raised.
    """

    def __init__(self, task_name: str, original_exception: BaseException) -> None:
        super().__init__(f"Task {task_name!r} failed: {original_exception!r}")
        self.task_name = task_name
        self.original_exception = original_exception
