"""Promises of i2i in the face of faults, by the kind of fault, in the order of docs/reliability.md."""

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
    "damaged checkpoint": "A flipped bit, a cut, or zeros in a checkpoint are found. The run resumes from the "
    "checkpoint before, and ends with the undisturbed bits.",
    "damaged recipe": "The same damage in recipe.yaml is refused, or changes no value.",
    "damaged bookkeeping": "The same damage in status.json, metrics.jsonl, speed.jsonl, env.json or a sample never "
    "stops a run from resuming. Lines of metrics.jsonl that are lost are told.",
    "damaged model": "A model with such damage is refused, or translates as before.",
    "SIGTERM": "A run that is told to stop ends its step, saves and exits with 75, however often it is told. In "
    "several processes, it is enough to tell one.",
    "SIGHUP": "The same when its terminal is closed.",
    "SIGINT": "The first Ctrl-C saves and exits with 130. The second stops at once, without saving.",
    "SIGUSR1": "A run saves at once and goes on.",
    "signal to a launcher": "If torchrun or accelerate launch is told to stop, or is killed, the processes of the run "
    "end too, the folder is free, and the run loses at most the steps since its last checkpoint.",
    "process lost": "If a process of several is killed, or stopped for longer than `timeout`, the others end with a "
    "sentence that names it.",
    "process slow": "A process that is stopped for a while and goes on costs time only.",
    "data worker lost": "If a data worker is killed, or stopped for longer than `timeout`, the run ends with a "
    "sentence, and no worker outlives it.",
    "data worker slow": "A data worker that is stopped for a while and goes on costs time only.",
    "stop with a stuck data worker": "A run that waits for a stuck data worker hears SIGTERM and saves.",
    "pictures harmed in mid-run": "If pictures are deleted, cut, or replaced by something else while a run trains, it "
    "ends with code 3 and names the file. With the pictures back, it resumes.",
    "folder removed in mid-run": "If the folder of a run is removed, the run ends with code 74 and makes nothing anew.",
    "folder moved in mid-run": "If the folder is moved, the run ends with code 74, and resumes in the new place.",
    "two runs in one folder": "A second run in a folder in use is refused with code 73. If run.lock was deleted, the "
    "first one ends with code 74.",
    "lock of a dead host": "A run.lock that was left behind holds up nothing.",
    "clock set back": "Whatever the clock and the times of files say, a run and its resuming are the same.",
    "not finite": "If data, a loss, a gradient or a weight becomes NaN or infinite, the run ends with a sentence, and "
    "no checkpoint holds such numbers.",
    "memory refused": "If a request for memory is refused, the run ends with code 7 and resumes.",
    "memory runs out anywhere": "If memory runs out at any other place, in a library for example, the message may be "
    "the library's. The run resumes.",
}
