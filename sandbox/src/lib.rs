//! Starts a program that can reach nothing but what it is given: Linux namespaces, Landlock, seccomp and limits around it.
//! It knows nothing of napt.
