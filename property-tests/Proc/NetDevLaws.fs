/// Laws of `/proc/net/dev`.
module Agent.PropertyTests.Proc.NetDevLaws

open Agent.Core
open Agent.Core.Proc
open Agent.PropertyTests
open Agent.PropertyTests.Generators
open Expecto
open FsCheck
open FsCheck.FSharp

let private traffic (numbers: uint64[]) first : NetDev.Traffic =
    {
        Bytes = LanguagePrimitives.UInt64WithMeasure numbers[first]
        Packets = numbers[first + 1]
        Errors = numbers[first + 2]
        Dropped = numbers[first + 3]
    }

let private row: Gen<NetDev.InterfaceCounters * string> =
    gen {
        let! name = Gen.frequency [ 1, Gen.elements [ "lo"; "eth0"; "eth0:1"; "bond0.100" ]; 2, wordWithColons ]
        let! numbers = Gen.arrayOfLength 16 counter
        let! blank = Gen.elements [ ""; " "; "    " ]
        let! indent = Gen.elements [ ""; "  "; "    " ]
        let columns = numbers |> Array.map string |> String.concat " "

        let counters: NetDev.InterfaceCounters =
            {
                Name = name
                Received = traffic numbers 0
                Sent = traffic numbers 8
                Detail =
                    ValueSome
                        {
                            ReceiveFifo = numbers[4]
                            ReceiveFrame = numbers[5]
                            ReceiveCompressed = numbers[6]
                            ReceiveMulticast = numbers[7]
                            SendFifo = numbers[12]
                            SendCollisions = numbers[13]
                            SendCarrier = numbers[14]
                            SendCompressed = numbers[15]
                        }
            }

        return counters, $"{indent}{name}:{blank}{columns}"
    }

let private header =
    [|
        "Inter-|   Receive                                                |  Transmit"
        " face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed"
    |]

let private texts: Gen<Rendered<NetDev.InterfaceCounters[]>> =
    upTo 3 row
    |> Gen.map (fun rows ->
        {
            Value = Array.map fst rows
            Lines = Array.append header (Array.map snd rows)
        })

/// What a line may say.
let networkInterface: Gen<NetDev.InterfaceCounters> = row |> Gen.map fst

let private parse (text: System.ReadOnlyMemory<byte>) = NetDev.parse text.Span
let private format = ParserLaws.formatOfLines texts parse ParserLaws.isStart

let tests =
    testList
        "Proc.NetDev"
        [
            yield! ParserLaws.all format
            yield! ParserLaws.badLines texts parse 2 (fun line -> ValueSome(line.Substring(0, line.Length - 1) + "x"))
            ParserLaws.extraColumns format (fun i _ -> i >= header.Length) word
        ]
