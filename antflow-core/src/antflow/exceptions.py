"""What antflow raises.

AntFlowError
├── PipelineError                 a pipeline was used in a way it cannot follow
│   └── StageValidationError      a stage was configured in a way it cannot follow
└── TaskFailedError               a task failed and its result was asked for
"""


class AntFlowError(Exception):
    """Base of every error that antflow itself raises."""


class PipelineError(AntFlowError):
    """A pipeline was defined or used in a way that it cannot follow."""


class StageValidationError(PipelineError):
    """A stage's configuration contradicts itself; the text names the stage and the remedy."""


class TaskFailedError(AntFlowError):
    """A task failed where its result was asked for.

    Args:
        task_name: the name of the task.
        original_exception: what the task raised.
    """

    def __init__(self, task_name: str, original_exception: BaseException) -> None:
        super().__init__(f"Task {task_name!r} failed: {original_exception!r}")
        self.task_name = task_name
        self.original_exception = original_exception
