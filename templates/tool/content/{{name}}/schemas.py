"""What the tool takes. The node checks the inputs of every run against `InputSchema`."""

from typing import Literal

from pydantic import BaseModel, Field


class InputSchema(BaseModel):
    """A function of the tool and its arguments."""

    func_name: Literal["calculate", "average"]
    func_input_data: dict = Field(default_factory=dict)
