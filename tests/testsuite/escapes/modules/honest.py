"""Honest: does a little of everything that a module may do."""
import subprocess, tempfile


def run(module_run):
    with tempfile.NamedTemporaryFile("w+") as file:
        file.write("kept")
        file.flush()
        assert open(file.name).read() == "kept"
    said = subprocess.run([sys.executable, "-c", "print(6 * 7)"], capture_output=True, text=True, check=True).stdout
    status, text = ask("GET", f"/v1/runs/{os.environ['NAPT_RUN_ID']}")
    assert status == 200, text
    assert CANARY.fullmatch(os.environ["HONEST_SECRET"].encode())
    return f"fine {said.strip()}"
