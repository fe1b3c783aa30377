/// Laws of `/proc/diskstats`.
module Agent.PropertyTests.Proc.DiskStatsLaws

open Agent.Core
open Agent.Core.Proc
open Agent.Core.Units
open Agent.PropertyTests
open Agent.PropertyTests.Generators
open Expecto
open FsCheck
open FsCheck.FSharp

let private sectors (value: uint64) : uint64<B> =
    LanguagePrimitives.UInt64WithMeasure(saturated value 512)

let private deviceNames =
    Gen.frequency
        [
            1, Gen.elements [ "sda"; "sda1"; "nvme0n1"; "nvme0n1p1"; "md0"; "dm-0"; "cciss/c0d0" ]
            2, word
        ]

/// One line and what it says; 7 columns on the partitions of old kernels.
let private row: Gen<DiskStats.DiskCounters * string> =
    gen {
        let! columns = Gen.elements [ 7; 14; 18; 20 ]
        let! device = deviceNames
        let! numbers = Gen.arrayOfLength (columns - 3) counter
        let! inProgress = Gen.frequency [ 9, Gen.choose (0, 99); 1, Gen.choose (-99, -1) ]

        let text =
            numbers
            |> Array.mapi (fun i number ->
                if columns > 7 && i = 8 then
                    string inProgress
                else
                    string number)
            |> String.concat " "

        let milliseconds i =
            LanguagePrimitives.UInt64WithMeasure numbers[i]

        let disk: DiskStats.DiskCounters =
            if columns = 7 then
                {
                    Device = device
                    Reads = ValueSome numbers[0]
                    ReadBytes = ValueSome(sectors numbers[1])
                    Writes = ValueSome numbers[2]
                    WrittenBytes = ValueSome(sectors numbers[3])
                    BusyTime = ValueNone
                    Detail = ValueNone
                }
            else
                {
                    Device = device
                    Reads = ValueSome numbers[0]
                    ReadBytes = ValueSome(sectors numbers[2])
                    Writes = ValueSome numbers[4]
                    WrittenBytes = ValueSome(sectors numbers[6])
                    BusyTime = ValueSome(milliseconds 9)
                    Detail =
                        ValueSome
                            {
                                ReadsMerged = numbers[1]
                                ReadTime = milliseconds 3
                                WritesMerged = numbers[5]
                                WriteTime = milliseconds 7
                                InFlight = uint64 (max 0 inProgress)
                                WeightedTime = milliseconds 10
                                Discards =
                                    if columns < 18 then
                                        ValueNone
                                    else
                                        ValueSome
                                            {
                                                Completed = numbers[11]
                                                Merged = numbers[12]
                                                Sectors = LanguagePrimitives.UInt64WithMeasure numbers[13]
                                                Time = milliseconds 14
                                            }
                                Flushes =
                                    if columns < 20 then
                                        ValueNone
                                    else
                                        ValueSome
                                            {
                                                Completed = numbers[15]
                                                Time = milliseconds 16
                                            }
                            }
                }

        return disk, $" {259, 3} {0, 7} {device} {text}"
    }

let private texts: Gen<Rendered<DiskStats.DiskCounters[]>> =
    upTo 4 row
    |> Gen.map (fun rows ->
        {
            Value = Array.map fst rows
            Lines = Array.map snd rows
        })

/// What a line may say.
let disk: Gen<DiskStats.DiskCounters> = row |> Gen.map fst

let private parse (text: System.ReadOnlyMemory<byte>) = DiskStats.parse text.Span
let private format = ParserLaws.formatOfLines texts parse ParserLaws.isStart

let private isLong (line: string) =
    line.Split(' ', System.StringSplitOptions.RemoveEmptyEntries).Length >= 14

let tests =
    testList
        "Proc.DiskStats"
        [
            yield! ParserLaws.all format
            ParserLaws.extraColumns format (fun _ line -> isLong line) (Gen.map (fun column -> "new" + column) word)
            yield! ParserLaws.badLines texts parse 0 (fun line -> ValueSome(line.Replace(" ", " -")))
        ]
