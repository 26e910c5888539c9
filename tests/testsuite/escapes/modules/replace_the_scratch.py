"""Puts a link where its scratch folder was, so that whoever removes it removes something else."""


def run(module_run):
    inputs, home = module_run["inputs"], os.environ["HOME"]

    def replace(target):
        aside = home + ".aside"
        os.rename(home, aside)
        os.symlink(target, home)
        return target

    attempt("by the data folder", replace, inputs["data"] + "/storage")
    attempt("by another's scratch", replace, inputs["stranger"]["scratch"])
    attempt("remove it", os.rmdir, home)
    attempt("a neighbour", os.mkdir, os.path.dirname(home) + "/mine")
    return told()
