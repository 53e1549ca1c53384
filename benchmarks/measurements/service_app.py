"""The web service that is measured."""

import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel

from benchmarks.contenders.interface import Answer

STOP_SECONDS = 5


class Question(BaseModel):
    """The body of a request, and of its answer."""

    number: int


def server(answer: Answer) -> uvicorn.Server:
    """Return the server of a service that answers each number."""
    config = uvicorn.Config(
        application(answer), log_level="warning", timeout_graceful_shutdown=STOP_SECONDS
    )
    return uvicorn.Server(config)


def application(answer: Answer) -> FastAPI:
    """Return the service."""
    app = FastAPI()

    @app.post("/answers")
    async def post_answer(question: Question) -> Question:
        return Question(number=await answer(question.number))

    return app
