"""Every process of it forks, and so do theirs: ten generations, which would be a thousand."""
import time


def run(module_run):
    read_end, write_end = os.pipe()
    me, generation, until = os.getpid(), 0, time.monotonic() + 10
    while generation < 10 and time.monotonic() < until:
        try:
            pid = os.fork()
        except OSError:
            time.sleep(0.01)
            continue
        generation += 1
        if pid == 0:
            os.write(write_end, b"x")
    if os.getpid() != me:
        time.sleep(30)
        os._exit(0)
    os.set_blocking(read_end, False)
    time.sleep(1)
    count = len(os.read(read_end, 4096))
    (escaped if count > 200 else refused)[f"{count} processes"] = "nothing"
    return told()
