"""Leaves a scratch folder that is hard to remove: deep, closed, full of pipes and odd names."""


def run(module_run):
    home = os.environ["HOME"]
    os.chdir(home)
    for _ in range(600):
        os.mkdir("deep-in-here")
        os.chdir("deep-in-here")
    os.chdir(home)
    os.mkdir("closed")
    open("closed/file", "w").close()
    os.mkfifo("pipe")
    open(b"\xff\xfe\n\x1b[31m", "w").close()
    listener = socket.socket(socket.AF_UNIX)
    listener.bind("socket")
    attempt("an immutable file", lambda: __import__("fcntl").ioctl(os.open("closed/file", os.O_RDONLY), 0x40086602, b"\x10\0\0\0\0\0\0\0"))
    os.chmod("closed", 0)
    refused["left behind"] = "nothing"
    return told()
