"""Honest: keeps a secret, and says over and over whether all of it is still as it was."""
import time


def run(module_run):
    inputs, home = module_run["inputs"], os.environ["HOME"]
    path = home + "/diary.txt"
    with open(path, "w") as file:
        file.write(inputs["canary"])
    # Its name for whoever looks for it from outside.
    LIBC.prctl(15, inputs["name"].encode(), 0, 0, 0)
    known, priority = sorted(os.listdir(home)), os.getpriority(os.PRIO_PROCESS, 0)
    print("place", json.dumps({"scratch": home, "inner_pid": os.getpid(), "entry": os.path.abspath(__file__),
                               "root": os.path.dirname(os.path.dirname(os.path.abspath(__file__)))}), flush=True)
    number = 0
    while True:
        number += 1
        with open(path) as file:
            intact = file.read() == inputs["canary"] and sorted(os.listdir(home)) == known
        intact = intact and os.getpriority(os.PRIO_PROCESS, 0) == priority
        print("intact" if intact else "disturbed", number, flush=True)
        time.sleep(0.2)
