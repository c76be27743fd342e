"""What i2i promises in the face of faults, by the kind of fault, in the order of docs/reliability.md."""

PROMISES = {
    "kill at any time": "A run that is killed at any time resumes. It loses at most the steps since its last "
    "checkpoint, and ends with the bits of an undisturbed run.",
    "kill in a save": "A kill inside a save costs the steps since the checkpoint before, and no more.",
    "kill in a prune": "A kill while old checkpoints are deleted costs nothing.",
}
