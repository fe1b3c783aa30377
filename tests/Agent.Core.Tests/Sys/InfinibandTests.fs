module Agent.Core.Tests.Sys.InfinibandTests

open Agent.Core
open Agent.Core.Sys
open Agent.Core.Units
open Agent.TestSupport.Fixtures
open Expecto

let private port device number received sent : Infiniband.Port =
    {
        Device = device
        Port = number
        Received = received
        Sent = sent
    }

let private file name content =
    sysText ("/sys/class/infiniband/mlx5_0/ports/1/counters/" + name) content

[<Tests>]
let tests =
    testList
        "Sys.Infiniband"
        [
            testCase "words of four octets, for each port of each adapter"
            <| fun () ->
                Expect.equal
                    (Infiniband.parse (sysFiles "infiniband" ""))
                    [|
                        port "mlx5_0" 1 (ValueSome 4000UL<B>) (ValueSome 8000UL<B>)
                        port "mlx5_0" 2 (ValueSome 120UL<B>) (ValueSome 160UL<B>)
                        // 2^64-1 words and 2^62 words are more than 64 bits of bytes hold
                        port "mlx5_1" 1 (ValueSome 18446744073709551615UL<B>) (ValueSome 18446744073709551615UL<B>)
                    |]
                    "ports"

            testCase "a counter that cannot be read is none, and the other stays"
            <| fun () ->
                Expect.equal
                    (Infiniband.parse
                        [|
                            sysFailure
                                "/sys/class/infiniband/mlx5_0/ports/1/counters/port_rcv_data"
                                (SourceError.Unreadable("a", "Invalid argument"))
                            file "port_xmit_data" "5\n"
                        |])
                    [| port "mlx5_0" 1 ValueNone (ValueSome 20UL<B>) |]
                    "port"

            testCase "a counter of 32 bits that stands at its end is none"
            <| fun () ->
                Expect.equal
                    (Infiniband.parse [| file "port_rcv_data" "4294967295\n"; file "port_xmit_data" "4294967296\n" |])
                    [| port "mlx5_0" 1 ValueNone (ValueSome 17179869184UL<B>) |]
                    "one of 64 bits goes on"

            testCase "a garbled, a torn and an empty counter are none"
            <| fun () ->
                for content in [ "many\n"; "12"; "" ] do
                    Expect.equal
                        (Infiniband.parse [| file "port_rcv_data" content; file "port_xmit_data" "0\n" |])
                        [| port "mlx5_0" 1 ValueNone (ValueSome 0UL<B>) |]
                        content

            testCase "other paths are ignored"
            <| fun () ->
                Expect.equal
                    (Infiniband.parse
                        [|
                            sysText "/sys/class/infiniband/mlx5_0/ports/1/hw_counters/port_rcv_data" "5\n"
                            sysText "/sys/class/infiniband/mlx5_0/ports/one/counters/port_rcv_data" "5\n"
                            sysText "port_rcv_data" "5\n"
                        |])
                    [||]
                    "none"

            testCase "no files, no ports"
            <| fun () -> Expect.equal (Infiniband.parse [||]) [||] "none"
        ]
