module Agent.Core.Tests.Proc.NetDevTests

open System
open Agent.Core
open Agent.Core.Proc
open Agent.Core.Units
open Agent.TestSupport.Fixtures
open Expecto

let private parse (text: byte[]) =
    NetDev.parse (ReadOnlySpan text) |> Parsed.strict

let private header = "Inter-| Receive | Transmit\n face |bytes packets|bytes packets\n"
let private parseLines (lines: string) = parse (utf8 (header + lines))

let private traffic bytes packets errors dropped : NetDev.Traffic =
    {
        Bytes = bytes
        Packets = packets
        Errors = errors
        Dropped = dropped
    }

[<Tests>]
let tests =
    testList
        "Proc.NetDev"
        [
            testCase "the captured text gives four interfaces"
            <| fun () ->
                let interfaces = want (parse (bytes "vm-2core-6.18/first/proc/net/dev"))

                Expect.equal (interfaces |> Array.map (fun i -> i.Name)) [| "lo"; "ifb0"; "ifb1"; "eth0" |] "names"

                Expect.equal
                    { interfaces[3] with
                        Detail = ValueNone
                    }
                    {
                        Name = "eth0"
                        Received = traffic 64950419UL<B> 1921UL 0UL 0UL
                        Sent = traffic 133488UL<B> 1393UL 0UL 0UL
                        Detail = ValueNone
                    }
                    "eth0"

            testCase "a number may stick to the colon, and the tenth column starts the other direction"
            <| fun () ->
                let interfaces = want (parse (bytes "odd-names/proc/net/dev"))

                Expect.equal
                    interfaces[1]
                    {
                        Name = "eth0"
                        Received = traffic 123456789UL<B> 4001UL 1UL 2UL
                        Sent = traffic 987654321UL<B> 3002UL 11UL 12UL
                        Detail =
                            ValueSome
                                {
                                    ReceiveFifo = 3UL
                                    ReceiveFrame = 4UL
                                    ReceiveCompressed = 5UL
                                    ReceiveMulticast = 6UL
                                    SendFifo = 13UL
                                    SendCollisions = 14UL
                                    SendCarrier = 15UL
                                    SendCompressed = 16UL
                                }
                    }
                    "eth0"

            testCase "names may hold colons, accents and bytes that are not UTF-8"
            <| fun () ->
                let interfaces = want (parse (bytes "odd-names/proc/net/dev"))

                Expect.equal
                    (interfaces |> Array.map (fun i -> i.Name))
                    [| "lo"; "eth0"; "eth0:1"; "wg-a:b"; "t\uFFFDn0"; "ümlaut0" |]
                    "names"

                Expect.equal interfaces[2].Received.Bytes 77UL<B> "the alias has counters of its own"
                Expect.equal interfaces[5].Received.Bytes 18446744073709551615UL<B> "2^64-1"

            testCase "an alias whose number sticks to the colon keeps its name"
            <| fun () ->
                let interfaces = want (parseLines "eth0:1:77 7 0 0 0 0 0 0 88 8 0 0 0 0 0 0\n")
                Expect.equal (interfaces[0].Name, interfaces[0].Received.Bytes) ("eth0:1", 77UL<B>) "name and bytes"

            testCase "drops of kernel 2.6 are read"
            <| fun () ->
                let interfaces = want (parse (bytes "kernel-2.6/proc/net/dev"))
                Expect.equal interfaces[1].Received (traffic 4012345678UL<B> 5100200UL 0UL 7UL) "eth0"

            testCase "columns that a later kernel adds are ignored"
            <| fun () ->
                let interfaces = want (parseLines "eth0: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 seventeen\n")
                Expect.equal interfaces[0].Sent (traffic 9UL<B> 10UL 11UL 12UL) "sent"

            testCase "a header alone is a machine without interfaces"
            <| fun () -> Expect.equal (parseLines "") (Ok [||]) "none"

            testCase "a counter that is no number names its line and its column"
            <| fun () ->
                Expect.equal
                    (located (parseLines "  lo: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\neth0: 1 2 3 4 5 6 7 8 nine 10 11 12 13 14 15 16\n"))
                    ("/proc/net/dev", 4, "tx bytes of eth0", "nine")
                    "place"

            testCase "a line of fifteen columns lacks the sixteenth"
            <| fun () ->
                Expect.equal
                    (located (parseLines "eth0: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15\n"))
                    ("/proc/net/dev", 3, "tx compressed of eth0", "")
                    "place"

            testCase "a line without a colon shows the whole line"
            <| fun () -> Expect.equal (located (parseLines "eth0 1 2 3\n")) ("/proc/net/dev", 3, "interface", "eth0 1 2 3") "place"

            testCase "a line without a name is an error"
            <| fun () ->
                Expect.equal
                    (located (parseLines "  : 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n"))
                    ("/proc/net/dev", 3, "interface", "  :")
                    "place"

            testCase "a blank line is a located error"
            <| fun () -> Expect.equal (located (parseLines "\n")) ("/proc/net/dev", 3, "interface", "") "place"

            testCase "another file in its place is told from its second line"
            <| fun () ->
                Expect.equal (located (parse "cpu 1 2 3 4\ncpu0 1 2 3 4\n"B)) ("/proc/net/dev", 2, "header", "cpu0 1 2 3 4") "place"

            testCase "a torn last line is an error, complete as it may look"
            <| fun () ->
                Expect.equal
                    (located (parseLines "eth0: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16"))
                    ("/proc/net/dev", 3, "the last line", "eth0: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16")
                    "place"

            testCase "an empty text is an error"
            <| fun () -> Expect.equal (located (parse [||])) ("/proc/net/dev", 1, "header", "") "place"

            testCase "line ends of another system are told as what they are"
            <| fun () ->
                Expect.equal
                    (located (parseLines "eth0: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\r\n"))
                    ("/proc/net/dev", 3, "tx compressed of eth0", "16\\x0d")
                    "place"

            testCase "an interface whose line is cut or garbled costs itself"
            <| fun () ->
                let row name =
                    $"{name}: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n"

                let read =
                    want (NetDev.parse (ReadOnlySpan(utf8 (header + row "lo" + "eth0: 1 2 x\n" + row "eth1" + "eth2: 1 2 3"))))

                Expect.equal (read.Value |> Array.map _.Name) [| "lo"; "eth1" |] "the others"

                Expect.equal
                    (read.Faults |> Array.map (fun fault -> fault.Line, fault.Field))
                    [| 4, "rx errs of eth0"; 6, "the last line" |]
                    "reported"
        ]
