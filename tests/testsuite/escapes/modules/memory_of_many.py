"""Allocates in several processes what one may not."""
import time


def run(module_run):
    read_end, write_end = os.pipe()
    for _ in range(10):
        if os.fork() == 0:
            kept = b"x" * (150 << 20)
            os.write(write_end, b"x")
            time.sleep(60)
            os._exit(len(kept) & 1)
    os.close(write_end)
    have = 0
    while os.read(read_end, 1):
        have += 1
        if have >= 6:
            return {"escaped": {"memory": f"{have * 150} MiB in {have} processes"}, "refused": {}}
    return {"escaped": {}, "refused": {f"more than {have * 150} MiB": "ENOMEM"}}
