/// The lines of /proc/meminfo by the names that node_exporter gives them.
[<RequireQualifiedAccess>]
module internal Agent.Sender.MemoryFields

open System
open System.Collections.Generic
open System.Text
open Agent.Core
open Agent.Outbound
open Agent.Core.Units

[<Struct; NoComparison>]
type private Field =
    {
        Key: byte[]
        IsBytes: bool
        Name: string
        Help: string
    }

let private fieldOf (key: string) (isBytes: bool) =
    // `Active(anon)` is Active_anon.
    let name =
        key.Replace("(", "_", StringComparison.Ordinal).Replace(")", "", StringComparison.Ordinal)
        + (if isBytes then "_bytes" else "")

    {
        Key = Encoding.UTF8.GetBytes key
        IsBytes = isBytes
        Name = "node_memory_" + name
        Help = $"Memory information field {name}."
    }

/// In the kernel's order (fs/proc/meminfo.c, then hugetlb and the architecture), so that each is found where the one before
/// it ends. A line that is not listed is exported too; its name is made each time.
let private known =
    let bytes =
        [|
            "MemTotal"
            "MemFree"
            "MemAvailable"
            "Buffers"
            "Cached"
            "SwapCached"
            "Active"
            "Inactive"
            "Active(anon)"
            "Inactive(anon)"
            "Active(file)"
            "Inactive(file)"
            "Unevictable"
            "Mlocked"
            "SwapTotal"
            "SwapFree"
            "Zswap"
            "Zswapped"
            "Dirty"
            "Writeback"
            "AnonPages"
            "Mapped"
            "Shmem"
            "KReclaimable"
            "Slab"
            "SReclaimable"
            "SUnreclaim"
            "KernelStack"
            "PageTables"
            "SecPageTables"
            "NFS_Unstable"
            "Bounce"
            "WritebackTmp"
            "CommitLimit"
            "Committed_AS"
            "VmallocTotal"
            "VmallocUsed"
            "VmallocChunk"
            "Percpu"
            "HardwareCorrupted"
            "AnonHugePages"
            "ShmemHugePages"
            "ShmemPmdMapped"
            "FileHugePages"
            "FilePmdMapped"
            "CmaTotal"
            "CmaFree"
            "Unaccepted"
            "Balloon"
        |]
        |> Array.map (fun key -> fieldOf key true)

    let pages =
        [| "HugePages_Total"; "HugePages_Free"; "HugePages_Rsvd"; "HugePages_Surp" |]
        |> Array.map (fun key -> fieldOf key false)

    let last =
        [|
            "Hugepagesize"
            "Hugetlb"
            "DirectMap4k"
            "DirectMap2M"
            "DirectMap4M"
            "DirectMap1G"
        |]
        |> Array.map (fun key -> fieldOf key true)

    Array.concat [| bytes; pages; last |]

let private knownNames =
    HashSet<string>(known |> Array.map (fun field -> field.Name), StringComparer.Ordinal)

let private unit = "kB"B

let rec private find (key: ReadOnlySpan<byte>) (from: int) (left: int) : int =
    if left = 0 then
        -1
    elif key.SequenceEqual(ReadOnlySpan known[from].Key) then
        from
    else
        find key ((from + 1) % known.Length) (left - 1)

// A name from outside becomes part of a metric's name, which has letters, digits and _ only.
let private isName (key: string) =
    key
    |> String.forall (fun c -> Char.IsAsciiLetterOrDigit c || c = '_' || c = '(' || c = ')')

/// Writes every line that is a whole number, in kB or without a unit.
let write (sink: MetricSink) (text: ReadOnlySpan<byte>) : unit =
    let mutable cursor = Cursor("", text)
    let mutable next = 0
    let told = Array.zeroCreate<bool> known.Length
    // The kernel repeats no line; of a text that does, the first counts.
    let others = HashSet<string>(StringComparer.Ordinal)

    while cursor.NextLine() do
        let key = cursor.Field()
        let mutable value = 0UL

        if key.Length > 1 && key[key.Length - 1] = ':'B && cursor.UInt64 &value then
            let key = key.Slice(0, key.Length - 1)
            let unitOfLine = cursor.Field()
            let isBytes = unitOfLine.SequenceEqual(ReadOnlySpan unit)
            let at = find key next known.Length

            let field =
                if at >= 0 && (told[at] || isBytes <> known[at].IsBytes) then
                    ValueNone
                elif at >= 0 then
                    told[at] <- true
                    next <- (at + 1) % known.Length
                    ValueSome known[at]
                else
                    let text = Text.toString key

                    let field = fieldOf text isBytes

                    if
                        isName text
                        && (isBytes || unitOfLine.IsEmpty)
                        && not (knownNames.Contains field.Name)
                        && others.Add field.Name
                    then
                        ValueSome field
                    else
                        ValueNone

            match field with
            | ValueSome field ->
                sink.Family(field.Name, MetricKind.Gauge, field.Help)

                sink.Whole(
                    if isBytes then
                        uint64 (bytesOfKib (LanguagePrimitives.UInt64WithMeasure value))
                    else
                        value
                )
            | ValueNone -> ()
