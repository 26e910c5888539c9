"""What the environment takes. The node checks the inputs of every run against `InputSchema`."""

from typing import Literal, Optional

from pydantic import BaseModel, Field


class Row(BaseModel):
    """A row of the table: the start of an episode (`step` 0), or a step of it."""

    id: str
    episode: str
    step: int
    actor: str
    action: int
    observation: str


class Observation(BaseModel):
    """What an actor sees after its step."""

    step: int
    actor: Optional[str]
    observation: str
    reward: float
    done: bool


class InputSchema(BaseModel):
    """A function of the environment and its arguments."""

    func_name: Literal["reset", "step", "history"]
    func_input_data: dict = Field(default_factory=dict)
