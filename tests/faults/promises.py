"""What i2i promises in the face of faults, by the kind of fault, in the order of docs/reliability.md."""

PROMISES = {
    "kill at any time": "A run that is killed at any time resumes. It loses at most the steps since its last "
    "checkpoint, and ends with the bits of an undisturbed run.",
    "kill in a save": "A kill inside a save costs the steps since the checkpoint before, and no more.",
    "kill in a prune": "A kill while old checkpoints are deleted costs nothing.",
    "a file operation fails": "Whichever operation on a file fails (no space, input or output error, read-only, no "
    "permission), training goes on with a warning, or ends with a sentence and a code, and resumes to the undisturbed "
    "bits.",
    "a file operation of a resumed run fails": "The same, in a run that resumes.",
    "power loss": "When the power fails, what was not yet written out may be forgotten or torn. The run loses at most "
    "the steps since its last checkpoint.",
    "power loss without a journal": "The same on a file system that keeps no order of names, and only what POSIX "
    "promises.",
}
