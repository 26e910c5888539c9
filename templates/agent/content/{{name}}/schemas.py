"""What the agent takes. The node checks the inputs of every run against `InputSchema`."""

from pydantic import BaseModel, Field


class Turn(BaseModel):
    """Something that was said."""

    speaker: str
    text: str


class InputSchema(BaseModel):
    """`prompt` is a question, or the topic of a conversation; `history` is what was said so far, oldest first."""

    prompt: str
    history: list[Turn] = Field(default_factory=list)
    round: int = Field(default=1, ge=1)
