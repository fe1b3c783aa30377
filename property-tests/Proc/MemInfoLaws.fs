/// Laws of `/proc/meminfo`.
module Agent.PropertyTests.Proc.MemInfoLaws

open System
open Agent.Core
open Agent.Core.Proc
open Agent.Core.Units
open Agent.PropertyTests
open Agent.PropertyTests.Generators
open Agent.PropertyTests.Laws
open Expecto
open FsCheck
open FsCheck.FSharp

let private kibibytes (value: uint64) : uint64<B> =
    LanguagePrimitives.UInt64WithMeasure(saturated value 1024)

let private texts: Gen<Rendered<MemInfo.MemoryInfo>> =
    gen {
        let! total = counter
        let! free = counter
        let! available = maybe counter
        let! buffers = maybe counter
        let! cached = maybe counter
        let! swapTotal = maybe counter
        let! swapFree = maybe counter
        let! hugePages = maybe counter
        let! hugePagesFree = maybe counter
        let! hugePageSize = maybe counter
        let! hugetlb = maybe counter

        let line (key: string) (value: uint64) =
            let label = key + ":"
            $"{label, -15} {value, 8} kB"

        let known =
            [
                "MemTotal", ValueSome total
                "MemFree", ValueSome free
                "MemAvailable", available
                "Buffers", buffers
                "Cached", cached
                "SwapTotal", swapTotal
                "SwapFree", swapFree
                "Hugepagesize", hugePageSize
                "Hugetlb", hugetlb
            ]
            |> List.choose (fun (key, value) -> value |> ValueOption.toOption |> Option.map (line key))

        let pages =
            [ "HugePages_Total", hugePages; "HugePages_Free", hugePagesFree ]
            |> List.choose (fun (key, value) -> value |> ValueOption.toOption |> Option.map (fun count -> $"{key}: {count, 7}"))

        let! others = upTo 2 (Gen.elements [ "SwapCached:            0 kB"; "Active(anon):    1436 kB" ])

        let! lines = Gen.shuffle (Array.append (Array.ofList (known @ pages)) others)

        return
            {
                Value =
                    {
                        Total = ValueSome(kibibytes total)
                        Free = ValueSome(kibibytes free)
                        Available = available |> ValueOption.map kibibytes
                        HasAvailable = available.IsSome
                        Buffers = buffers |> ValueOption.map kibibytes
                        Cached = cached |> ValueOption.map kibibytes
                        SwapTotal =
                            swapTotal
                            |> ValueOption.map kibibytes
                            |> ValueOption.filter (fun total -> uint64 total < pown 2UL 62)
                        SwapFree = swapFree |> ValueOption.map kibibytes
                        HugePages = hugePages
                        HugePagesFree = hugePagesFree
                        HugePageSize = hugePageSize |> ValueOption.map kibibytes
                        Hugetlb = hugetlb |> ValueOption.map kibibytes
                    }
                Lines = lines
            }
    }

/// What a text may say.
let memory: Gen<MemInfo.MemoryInfo> = texts |> Gen.map (fun text -> text.Value)

let private isPart (part: MemInfo.MemoryInfo) (whole: MemInfo.MemoryInfo) =
    part.Total = whole.Total
    && part.Free = whole.Free
    && ParserLaws.isUnknownOr whole.Available part.Available
    && ParserLaws.isUnknownOr whole.Buffers part.Buffers
    && ParserLaws.isUnknownOr whole.Cached part.Cached
    && ParserLaws.isUnknownOr whole.SwapTotal part.SwapTotal
    && ParserLaws.isUnknownOr whole.SwapFree part.SwapFree
    && ParserLaws.isUnknownOr whole.HugePages part.HugePages
    && ParserLaws.isUnknownOr whole.HugePagesFree part.HugePagesFree
    && ParserLaws.isUnknownOr whole.HugePageSize part.HugePageSize
    && ParserLaws.isUnknownOr whole.Hugetlb part.Hugetlb

let private parse (text: ReadOnlyMemory<byte>) = MemInfo.parse text.Span
let private format = ParserLaws.formatOfLines texts parse isPart

/// What the cache of ZFS may be.
let arc: Gen<ArcStats.Arc> =
    Gen.two counter
    |> Gen.map (fun (size, minimum) ->
        {
            Size = LanguagePrimitives.UInt64WithMeasure size
            Minimum = LanguagePrimitives.UInt64WithMeasure minimum
        })

/// The same as /proc/spl/kstat/zfs/arcstats has it, among other figures.
let private arcTexts: Gen<Rendered<ArcStats.Arc>> =
    gen {
        let! arc = arc
        let! others = upTo 3 (Gen.map2 (fun name value -> $"x{name} 4 {value}") word counter)
        let known = [| $"size 4 {arc.Size}"; $"c_min   4    {arc.Minimum}" |]
        let! lines = Gen.shuffle (Array.append known others)

        return
            {
                Value = arc
                Lines = Array.append [| "9 1 0x01 123 33456 0 0"; "name  type data" |] lines
            }
    }

let private arcFormat =
    ParserLaws.format arcTexts (fun text -> ArcStats.parse text.Span) (fun part whole -> part = whole)

let private wide (bytes: uint64<B>) : UInt128 = UInt128.op_Implicit (uint64 bytes)

/// By the rules of docs/sources.md, in arithmetic that cannot overflow; a sum beyond 64 bits counts as the largest value.
let private expectedAvailable (memory: MemInfo.MemoryInfo) : UInt128 voption =
    let claimed =
        match memory.Available, memory.Buffers, memory.Cached with
        | ValueSome available, _, _ -> ValueSome(wide available)
        | ValueNone, ValueSome buffers, ValueSome cached ->
            ValueSome(UInt128.Min(wide memory.Free.Value + wide buffers + wide cached, UInt128.op_Implicit UInt64.MaxValue))
        | _ -> ValueNone

    claimed
    |> ValueOption.map (fun claimed ->
        if claimed > wide memory.Total.Value then
            wide (min memory.Free.Value memory.Total.Value)
        else
            claimed)

let tests =
    testList
        "Proc.MemInfo"
        [
            yield! ParserLaws.all format
            ParserLaws.extraColumns format (fun _ _ -> true) word
            ParserLaws.unknownLines format (fun _ -> 0) (Gen.map2 (fun name number -> $"X{name}: {number} kB") word counter)
            testList
                "ArcStats"
                [
                    // A cut text that still has both lines says what they say, so the law of the last line is not one of these.
                    yield! ParserLaws.totality arcFormat
                    law "a rendered value parses back to the value" arcTexts (fun text ->
                        same (ArcStats.parse (ReadOnlySpan(bytesOf text.Lines))) (Ok text.Value))
                    ParserLaws.extraColumns arcFormat (fun _ _ -> true) word
                    ParserLaws.unknownLines arcFormat (fun _ -> 0) (Gen.map2 (fun name value -> $"x{name} 4 {value}") word counter)
                ]
            law "available memory follows the rules, whatever the sizes" memory (fun memory ->
                same (MemInfo.available memory |> ValueOption.map wide) (expectedAvailable memory))
            law "available memory never exceeds the total" memory (fun memory ->
                match MemInfo.available memory with
                | ValueSome available -> available <= memory.Total.Value
                | ValueNone -> true)
            law
                "with ZFS's cache there is at least as much available, at most the total, and no more than the cache gives"
                (Gen.zip memory arc)
                (fun (memory, arc) ->
                    match MemInfo.available memory, MemInfo.availableWithArc (ValueSome arc) memory with
                    | ValueSome without, ValueSome available ->
                        available >= without
                        && available <= memory.Total.Value
                        && wide available - wide without <= wide arc.Size
                    | without, available -> without.IsNone && available.IsNone)
            law "a cache that fits into the used memory counts down to its minimum" (Gen.zip memory arc) (fun (memory, arc) ->
                match MemInfo.available memory with
                | ValueNone -> true
                | ValueSome without ->
                    let used = memory.Total.Value - without

                    let arc =
                        { arc with
                            Size = if used = 0UL<B> then 0UL<B> else arc.Size % used
                        }

                    let gain =
                        if arc.Size > arc.Minimum then
                            arc.Size - arc.Minimum
                        else
                            0UL<B>

                    same (MemInfo.availableWithArc (ValueSome arc) memory) (ValueSome(without + gain)))
            // The numbers alone are damaged, so that the line is still the one of its key.
            yield!
                ParserLaws.badLines texts parse 0 (fun line ->
                    if
                        line.StartsWith("Swap", StringComparison.Ordinal)
                        && not (line.StartsWith("SwapC", StringComparison.Ordinal))
                    then
                        ValueSome(line.Replace(" ", " x"))
                    else
                        ValueNone)
        ]
