"""What the memory takes. The node checks the inputs of every run against `InputSchema`."""

from typing import Literal

from pydantic import BaseModel, Field


class Item(BaseModel):
    """A row of the table: something that its owner, usually an agent, remembers."""

    id: str
    owner: str
    content: str
    created: str


class InputSchema(BaseModel):
    """A function of the memory and its arguments."""

    func_name: Literal["init", "store", "recall", "forget"]
    func_input_data: dict = Field(default_factory=dict)
