/// `/proc/meminfo`: what the memory is used for. The kernel prints kibibytes and calls them kB.
/// See proc_meminfo(5). `MemAvailable` since kernel 3.14.
[<RequireQualifiedAccess>]
module Agent.Core.Proc.MemInfo

open System
open Agent.Core
open Agent.Core.Units

/// Where the text comes from.
[<Literal>]
let Source = "/proc/meminfo"

/// The lines that a sample needs; those a kernel may lack are none.
type MemoryInfo =
    {
        /// `MemTotal`: usable memory.
        Total: uint64<B>
        /// `MemFree`: used for nothing at all.
        Free: uint64<B>
        /// `MemAvailable`: what programs could get without swapping, by the kernel's estimate.
        Available: uint64<B> voption
        /// `Buffers`: cache of raw block devices.
        Buffers: uint64<B> voption
        /// `Cached`: page cache.
        Cached: uint64<B> voption
        /// `SwapTotal`.
        SwapTotal: uint64<B> voption
        /// `SwapFree`.
        SwapFree: uint64<B> voption
    }

/// The lines that are read, by the index of their value. Arrays of their own, because a byte literal in an expression
/// is allocated each time.
let private keys =
    [|
        "MemTotal:"B
        "MemFree:"B
        "MemAvailable:"B
        "Buffers:"B
        "Cached:"B
        "SwapTotal:"B
        "SwapFree:"B
    |]

let private unit = "kB"B

let private nameOf (key: int) =
    Text.toString (ReadOnlySpan(keys[key], 0, keys[key].Length - 1))

// Most lines are none of these, and their length or first letter says so.
let private indexOf (key: ReadOnlySpan<byte>) : int =
    let mutable i = 0

    while i < keys.Length
          && not (
              key.Length = keys[i].Length
              && key[0] = keys[i][0]
              && key.SequenceEqual(ReadOnlySpan keys[i])
          ) do
        i <- i + 1

    i

/// Reads the known lines in any order; unknown ones are ignored. A text without `MemTotal` or `MemFree` is an error.
[<CompiledName "Parse">]
let parse (text: ReadOnlySpan<byte>) : Result<MemoryInfo, ParseError> =
    let mutable cursor = Cursor(Source, text)
    let values = Array.create keys.Length ValueNone
    let mutable failure = ValueNone

    while failure.IsNone && cursor.NextLine() do
        let key = indexOf (cursor.Field())
        let mutable kib = 0UL

        if key < keys.Length then
            if cursor.UInt64 &kib && cursor.Field().SequenceEqual(ReadOnlySpan unit) then
                values[key] <- ValueSome(bytesOfKib (LanguagePrimitives.UInt64WithMeasure kib))
            else
                failure <- ValueSome(cursor.Bad(nameOf key, "a whole number and kB"))

    match failure, values[0], values[1] with
    | ValueSome error, _, _ -> Error error
    | ValueNone, _, _ when not cursor.AtEnd -> Error(cursor.NoLine "the last line")
    | ValueNone, ValueSome total, ValueSome free ->
        Ok
            {
                Total = total
                Free = free
                Available = values[2]
                Buffers = values[3]
                Cached = values[4]
                SwapTotal = values[5]
                SwapFree = values[6]
            }
    | ValueNone, ValueNone, _ -> Error(cursor.NoLine(nameOf 0))
    | ValueNone, _, ValueNone -> Error(cursor.NoLine(nameOf 1))

/// What programs could get without swapping. Kernels before 3.14 do not say: then free memory, buffers and page
/// cache. Containers under LXC may claim more than they have: then free memory alone. None when the text lacks the
/// lines to tell.
[<CompiledName "Available">]
let available (memory: MemoryInfo) : uint64<B> voption =
    let claimed =
        match memory.Available, memory.Buffers, memory.Cached with
        | ValueSome available, _, _ -> ValueSome available
        | ValueNone, ValueSome buffers, ValueSome cached -> ValueSome(addSaturating (addSaturating memory.Free buffers) cached)
        | _ -> ValueNone

    match claimed with
    | ValueSome bytes when bytes > memory.Total -> ValueSome(min memory.Free memory.Total)
    | claimed -> claimed
