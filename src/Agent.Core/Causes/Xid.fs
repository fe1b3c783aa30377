/// What the codes of XID events mean for the user of the GPU, by NVIDIA's catalogue of 2025
/// (docs.nvidia.com/deploy/xid-errors/analyzing-xid-catalog.html, "Resolution Bucket (Immediate Action)").
[<RequireQualifiedAccess>]
module internal Agent.Core.Causes.Xid

/// What is to be done about an event.
[<RequireQualifiedAccess; Struct>]
type Action =
    /// IGNORE, and what only follows another event (45, 154).
    | Nothing
    /// RESTART_APP: the program's channel is gone, the GPU is well.
    | RestartProgram
    /// RESET_GPU, and the workflows that end in one.
    | Reset
    /// RESTART_BM, RESTART_VM and CHECK_MECHANICALS: a reset does not help.
    | Reboot
    /// What the catalogue gives no action for, and codes that are newer.
    | Report

/// Graphics and copy engines, decoders: the program's own, all of them RESTART_APP.
let private isEngine (code: int) =
    (code >= 39 && code <= 41)
    || (code >= 68 && code <= 72)
    || (code >= 75 && code <= 77)
    || (code >= 82 && code <= 89 && code <> 87)
    || (code >= 96 && code <= 105)
    || (code >= 126 && code <= 135)
    || code = 60
    || code = 139

/// What the catalogue says of a code.
let action (code: int) : Action =
    match code with
    | 8
    | 11
    | 13
    | 25
    | 31
    | 32
    | 80
    | 94 -> Action.RestartProgram
    | code when isEngine code -> Action.RestartProgram
    | 14
    | 37
    | 38
    | 43
    | 44
    | 45
    | 63
    | 66
    | 67
    | 92
    | 93
    | 106
    | 107
    | 108
    | 121
    | 137
    | 141
    | 152
    | 153
    | 154
    | 157
    | 160
    | 161
    | 162
    | 163 -> Action.Nothing
    | 46
    | 48
    | 62
    | 64
    | 74
    | 95
    | 109
    | 110
    | 119
    | 120
    | 136
    | 140
    | 143
    | 155
    | 156
    | 158 -> Action.Reset
    // The NVLink errors of Blackwell: most of their rows end in a reset.
    | code when code >= 144 && code <= 150 -> Action.Reset
    | 54
    | 79
    | 151 -> Action.Reboot
    | _ -> Action.Report

/// The catalogue's description of the codes that are met most; empty for the others.
let description (code: int) : string =
    match code with
    | 13 -> "an exception in the program's kernel"
    | 31 -> "a page fault of the program's kernel"
    | 32
    | 11
    | 25 -> "a corrupted push buffer"
    | 8
    | 46 -> "the GPU stopped processing"
    | 48 -> "a double-bit memory error"
    | 54 -> "auxiliary power is not connected"
    | 62 -> "a micro-controller of the GPU halted"
    | 64 -> "memory rows could not be remapped"
    | 74 -> "an NVLink error"
    | 79 -> "the GPU has fallen off the bus"
    | 94 -> "a contained memory error"
    | 95 -> "an uncontained memory error"
    | 109 -> "a context switch timed out"
    | 119
    | 120 -> "the GPU's system processor (GSP) does not respond"
    | 140 -> "an unrecovered memory error"
    | 143 -> "the GPU failed to initialise"
    | 158 -> "a fatal timeout"
    | code when code >= 144 && code <= 150 -> "an NVLink error"
    | _ -> ""
