"""The errors and the warning of antflow.

AntFlowError
├── PipelineError                 a pipeline was defined or used wrongly
│   └── StageValidationError      a stage's configuration is invalid
├── PluginError                   a plugin cannot take part, or raised an exception in strict mode
└── TaskFailedError               for your programs to raise; antflow itself never raises it

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
    """A pipeline was defined or used wrongly; the text says how."""


class StageValidationError(PipelineError):
    """A stage's configuration is invalid; the text names the stage and the remedy."""


class PluginError(AntFlowError):
    """A plugin cannot take part, or raised an exception while `ANTFLOW_STRICT_PLUGINS` is set.

    Args:
        text: what is wrong.
        plugin: the plugin's name.
        hook: name of the hook that raised; None for a plugin that cannot take part.
        item_id: id of the item of the hook's event; None if there is no such item.
    """

    def __init__(
        self, text: str, *, plugin: str, hook: str | None = None, item_id: object = None
    ) -> None:
        super().__init__(text)
        self.plugin = plugin
        self.hook = hook
        self.item_id = item_id


class PluginWarning(UserWarning):
    """A plugin is left out, or a setting about plugins is wrong; the text has the remedy."""


class TaskFailedError(AntFlowError):
    """An exception for your programs to raise when a task has failed.

    antflow itself never raises it; the `error` of a failed item is the exception of its task.

    Args:
        task_name: the name of the task.
        original_exception: the exception that the task raised.
    """

    def __init__(self, task_name: str, original_exception: BaseException) -> None:
        super().__init__(f"Task {task_name!r} failed: {original_exception!r}")
        self.task_name = task_name
        self.original_exception = original_exception
