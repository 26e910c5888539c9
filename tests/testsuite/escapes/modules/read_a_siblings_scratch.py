"""Reads, changes and removes what a run of the same user keeps in its scratch folder."""


def run(module_run):
    return against(module_run["inputs"]["sibling"]["scratch"])


def against(folder):
    attempt("list", os.listdir, folder)
    attempt("read", read, f"{folder}/diary.txt")
    attempt("its key", read, f"{folder}/delegate.key")
    attempt("write", write, f"{folder}/diary.txt")
    attempt("add", write, f"{folder}/left.txt")
    attempt("truncate", os.truncate, f"{folder}/diary.txt", 0)
    attempt("remove", os.unlink, f"{folder}/diary.txt")
    attempt("rename", os.rename, folder, f"{os.environ['HOME']}/taken")
    attempt("open up", os.chmod, folder, 0o777)
    attempt("beside", lambda: [n for n in os.listdir(os.path.dirname(folder)) if n != os.path.basename(os.environ["HOME"])] or None)
    attempt("by `..`", read, f"{os.environ['HOME']}/../{os.path.basename(folder)}/diary.txt")
    return told()
