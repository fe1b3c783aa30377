namespace Agent.Core

open System

/// A malformed text. Line numbers count from 1; 0 means the text as a whole.
[<NoComparison>]
type ParseError =
    {
        /// The file or command the text came from, such as `/proc/stat`.
        Source: string
        /// The line within it, from 1; 0 when no single line is at fault.
        Line: int
        /// The field within the line, in the words of the format's documentation.
        Field: string
        /// The offending text, control characters escaped, cut after 80 characters.
        Raw: string
        /// What was expected: "a whole number", "a line end".
        Expected: string
    }

    /// True for a fault in the line of this device or interface, whose name such faults have behind the field: `reads completed of sda`.
    member error.IsOf(source: string, device: string) : bool =
        error.Source = source
        && error.Field.EndsWith(" of " + device, StringComparison.Ordinal)

    /// `/proc/stat line 3, field user: expected a number of clock ticks, found "x1"`.
    override error.ToString() =
        let place =
            if error.Line > 0 then
                $"{error.Source} line {error.Line}"
            else
                error.Source

        $"{place}, field {error.Field}: expected {error.Expected}, found \"{error.Raw}\""

/// The content of a text of many lines. A malformed line costs only its own values, and is reported next to the value.
[<Struct; NoComparison>]
type Parsed<'value> =
    {
        /// The content of the well-formed lines.
        Value: 'value
        /// What is wrong with the first eight malformed lines, in their order; empty for a well-formed text.
        Faults: ParseError[]
        /// How many malformed lines there are in all.
        FaultCount: int
    }

/// Texts that are read line by line.
[<RequireQualifiedAccess>]
module Parsed =
    /// How many faults of one text are kept; the rest are counted.
    [<Literal>]
    let MostFaults = 8

    /// The value of a text in which every line is well-formed; else the first fault. For callers who want all or nothing.
    [<CompiledName "Strict">]
    let strict (result: Result<Parsed<'value>, ParseError>) : Result<'value, ParseError> =
        match result with
        | Ok parsed when parsed.Faults.Length > 0 -> Error parsed.Faults[0]
        | Ok parsed -> Ok parsed.Value
        | Error error -> Error error

/// Why a source has no reading. Absent, unreadable and garbled are three different things: an absent source means
/// a machine without that feature, the other two are faults.
[<RequireQualifiedAccess>]
type SourceError =
    /// The file, device or program does not exist here.
    | Absent of path: string
    /// It exists and cannot be read: permission, an I/O error, a time-out.
    | Unreadable of path: string * reason: string
    /// It was read and does not parse.
    | Garbled of error: ParseError

    /// Calls the function for the case that this is.
    member this.Match(absent: Func<string, 'r>, unreadable: Func<string, string, 'r>, garbled: Func<ParseError, 'r>) : 'r =
        match this with
        | Absent path -> absent.Invoke path
        | Unreadable(path, reason) -> unreadable.Invoke(path, reason)
        | Garbled error -> garbled.Invoke error

    /// One line for a log.
    override this.ToString() =
        match this with
        | Absent path -> $"{path} does not exist"
        | Unreadable(path, reason) -> $"{path} cannot be read: {reason}"
        | Garbled error -> string error

/// A configuration value as the user gave it.
[<Struct; NoComparison>]
type Given =
    {
        /// The flag or variable that carried it.
        Origin: string
        /// Its text.
        Text: string
    }

/// A configuration value that cannot be used.
[<NoComparison>]
type ConfigError =
    {
        /// The flag or environment variable that carried it, or the pair that could: `--host (or AI_DASHBOARD_HOST)`.
        Origin: string
        /// The whole sentence: offending text (never a token) and what is expected.
        Message: string
    }

    /// The sentence.
    override error.ToString() = error.Message

/// A file of /sys that was read, or why not.
[<NoComparison>]
type SysText =
    {
        /// Its path, root included.
        Path: string
        /// Its bytes, or why there are none.
        Content: Result<ReadOnlyMemory<byte>, SourceError>
    }
