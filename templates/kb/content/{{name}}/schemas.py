"""What the knowledge base takes. The node checks the inputs of every run against `InputSchema`."""

from typing import Literal

from pydantic import BaseModel, Field


class Turn(BaseModel):
    """A row of the table: something that was said in a conversation, `seq` being its place in it."""

    conversation: str
    seq: int
    round: int
    speaker: str
    text: str


class InputSchema(BaseModel):
    """A function of the knowledge base and its arguments."""

    func_name: Literal["init", "add", "list"]
    func_input_data: dict = Field(default_factory=dict)
