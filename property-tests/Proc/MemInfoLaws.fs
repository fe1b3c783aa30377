/// Laws of `/proc/meminfo`.
module Agent.PropertyTests.Proc.MemInfoLaws

open System
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
            ]
            |> List.choose (fun (key, value) -> value |> ValueOption.toOption |> Option.map (line key))

        let! others =
            upTo
                2
                (Gen.elements
                    [
                        "HugePages_Total:       0"
                        "SwapCached:            0 kB"
                        "Active(anon):    1436 kB"
                    ])

        let! lines = Gen.shuffle (Array.append (Array.ofList known) others)

        return
            {
                Value =
                    {
                        Total = kibibytes total
                        Free = kibibytes free
                        Available = available |> ValueOption.map kibibytes
                        Buffers = buffers |> ValueOption.map kibibytes
                        Cached = cached |> ValueOption.map kibibytes
                        SwapTotal = swapTotal |> ValueOption.map kibibytes
                        SwapFree = swapFree |> ValueOption.map kibibytes
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

let private format = ParserLaws.format texts (fun text -> MemInfo.parse text.Span) isPart

let private wide (bytes: uint64<B>) : UInt128 = UInt128.op_Implicit (uint64 bytes)

/// By the rules of docs/sources.md, in arithmetic that cannot overflow; a sum beyond 64 bits counts as the largest value.
let private expectedAvailable (memory: MemInfo.MemoryInfo) : UInt128 voption =
    let claimed =
        match memory.Available, memory.Buffers, memory.Cached with
        | ValueSome available, _, _ -> ValueSome(wide available)
        | ValueNone, ValueSome buffers, ValueSome cached ->
            ValueSome(UInt128.Min(wide memory.Free + wide buffers + wide cached, UInt128.op_Implicit UInt64.MaxValue))
        | _ -> ValueNone

    claimed
    |> ValueOption.map (fun claimed ->
        if claimed > wide memory.Total then
            wide (min memory.Free memory.Total)
        else
            claimed)

let tests =
    testList
        "Proc.MemInfo"
        [
            yield! ParserLaws.all format
            ParserLaws.extraColumns format (fun _ _ -> true) word
            ParserLaws.unknownLines format (fun _ -> 0) (Gen.map2 (fun name number -> $"X{name}: {number} kB") word counter)
            law "available memory follows the rules, whatever the sizes" memory (fun memory ->
                same (MemInfo.available memory |> ValueOption.map wide) (expectedAvailable memory))
            law "available memory never exceeds the total" memory (fun memory ->
                match MemInfo.available memory with
                | ValueSome available -> available <= memory.Total
                | ValueNone -> true)
        ]
