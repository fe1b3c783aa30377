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

/// The lines that matter here. Each is none where the kernel lacks it and where it does not read as it should.
[<NoComparison>]
type MemoryInfo =
    {
        /// `MemTotal`: usable memory.
        Total: uint64<B> voption
        /// `MemFree`: used for nothing at all.
        Free: uint64<B> voption
        /// `MemAvailable`: what programs could get without swapping, by the kernel's estimate.
        Available: uint64<B> voption
        /// There is a line `MemAvailable`, whether it can be read or not.
        HasAvailable: bool
        /// `Buffers`: cache of raw block devices.
        Buffers: uint64<B> voption
        /// `Cached`: page cache.
        Cached: uint64<B> voption
        /// `SwapTotal`; none where it is no size but the limit of a container that has none.
        SwapTotal: uint64<B> voption
        /// `SwapFree`.
        SwapFree: uint64<B> voption
        /// `HugePages_Total`: pages of the default huge size that were set aside.
        HugePages: uint64 voption
        /// `HugePages_Free`: those of them that no program uses.
        HugePagesFree: uint64 voption
        /// `Hugepagesize`: the default huge size.
        HugePageSize: uint64<B> voption
        /// `Hugetlb`: memory set aside for huge pages of all sizes, since kernel 4.19.
        Hugetlb: uint64<B> voption
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
        "Hugepagesize:"B
        "Hugetlb:"B
        "HugePages_Total:"B
        "HugePages_Free:"B
    |]

/// From here on the keys begin with H.
[<Literal>]
let private FirstHuge = 7

/// From here on the keys count pages, without a unit.
[<Literal>]
let private FirstCount = 9

let private unit = "kB"B

/// LXC takes a control group's limit for the size of the swap, and without a limit that is close to 2^63 or 2^64. No machine has four exbibytes.
let private noLimit = LanguagePrimitives.UInt64WithMeasure<B>(1UL <<< 62)

let private nameOf (key: int) =
    Text.toString (ReadOnlySpan(keys[key], 0, keys[key].Length - 1))

// Most lines are none of these, and their first letter or length says so.
let private indexOf (key: ReadOnlySpan<byte>) : int =
    let mutable i =
        if key.IsEmpty then
            keys.Length
        else
            match key[0] with
            | 'M'B
            | 'B'B
            | 'C'B
            | 'S'B -> 0
            | 'H'B -> FirstHuge
            | _ -> keys.Length

    while i < keys.Length
          && not (
              key.Length = keys[i].Length
              && key[0] = keys[i][0]
              && key.SequenceEqual(ReadOnlySpan keys[i])
          ) do
        i <- i + 1

    i

/// Reads the known lines in any order; unknown ones are ignored. A text that lacks `MemTotal` or `MemFree` has a fault,
/// and one with none of the known lines is an error as a whole.
[<CompiledName "Parse">]
let parse (text: ReadOnlySpan<byte>) : Result<Parsed<MemoryInfo>, ParseError> =
    let mutable cursor = Cursor(Source, text)
    let mutable faults = LineFaults()
    let values = Array.create keys.Length ValueNone
    let mutable seen = 0

    while cursor.NextLine() do
        let key = indexOf (cursor.Field())
        let mutable number = 0UL

        if key < keys.Length then
            // Of MemTotal, MemFree and MemAvailable, whether there is a line at all.
            seen <- seen ||| (1 <<< key)

            if key >= FirstCount then
                if cursor.UInt64 &number then
                    values[key] <- ValueSome number
                else
                    faults.Add(cursor.Bad(nameOf key, "a whole number"))
            elif cursor.UInt64 &number && cursor.Field().SequenceEqual(ReadOnlySpan unit) then
                values[key] <- ValueSome number
            else
                faults.Add(cursor.Bad(nameOf key, "a whole number and kB"))

    faults.AddTorn &cursor

    for key in 0..1 do
        if seen &&& (1 <<< key) = 0 then
            faults.Add(cursor.NoLine(nameOf key))

    if values |> Array.forall ValueOption.isNone then
        Error(faults.FirstOr(cursor.NoLine(nameOf 0)))
    else
        let kib key =
            match values[key] with
            | ValueSome number -> ValueSome(bytesOfKib (LanguagePrimitives.UInt64WithMeasure number))
            | ValueNone -> ValueNone

        Ok(
            faults.Around
                {
                    Total = kib 0
                    Free = kib 1
                    Available = kib 2
                    HasAvailable = seen &&& (1 <<< 2) <> 0
                    Buffers = kib 3
                    Cached = kib 4
                    SwapTotal = kib 5 |> ValueOption.filter (fun total -> total < noLimit)
                    SwapFree = kib 6
                    HugePages = values[9]
                    HugePagesFree = values[10]
                    HugePageSize = kib 7
                    Hugetlb = kib 8
                }
        )

/// What programs can allocate without swapping. Kernels before 3.14 do not say: then free memory, buffers and page
/// cache. Containers under LXC may claim more than they have: then free memory alone. None when the text lacks the
/// lines to tell, or has a line `MemAvailable` that cannot be read: the formula would give another figure.
[<CompiledName "Available">]
let available (memory: MemoryInfo) : uint64<B> voption =
    let claimed =
        match memory.Available, memory.Free, memory.Buffers, memory.Cached with
        | ValueSome available, _, _, _ -> ValueSome available
        | ValueNone, ValueSome free, ValueSome buffers, ValueSome cached when not memory.HasAvailable ->
            ValueSome(addSaturating (addSaturating free buffers) cached)
        | _ -> ValueNone

    match memory.Total, claimed with
    | ValueSome total, ValueSome bytes when bytes > total -> memory.Free |> ValueOption.map (min total)
    | _, claimed -> claimed

/// The same on a machine with ZFS, whose cache above its minimum is available too. A cache larger than all memory in use
/// is not in this memory: an LXC container sees that of its host.
[<CompiledName "AvailableWithArc">]
let availableWithArc (arc: ArcStats.Arc voption) (memory: MemoryInfo) : uint64<B> voption =
    match arc, memory.Total, available memory with
    | ValueSome arc, ValueSome total, ValueSome available when arc.Size <= total - min available total ->
        ValueSome(available + arc.Reclaimable)
    | _, _, available -> available
