"""What the orchestrator takes. The node checks the inputs of every run against `InputSchema`."""

from pydantic import BaseModel


class InputSchema(BaseModel):
    """What the agents are to talk about."""

    prompt: str
