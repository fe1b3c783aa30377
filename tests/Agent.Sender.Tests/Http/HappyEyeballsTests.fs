module Agent.Sender.Tests.HappyEyeballsTests

open System.Net
open Agent.Core
open Agent.Sender
open Expecto

let private addresses (texts: string list) =
    texts |> List.map IPAddress.Parse |> Array.ofList

let private order (winner: string) (failed: string list) (all: string list) : string list =
    let winner = if winner = "" then null else IPAddress.Parse winner

    HappyEyeballs.order winner (addresses failed) (addresses all)
    |> Array.map string
    |> List.ofArray

[<Tests>]
let tests =
    testList
        "HappyEyeballs"
        [
            testCase "the families take turns, beginning with the first"
            <| fun () ->
                Expect.equal
                    (order "" [] [ "fd00::1"; "fd00::2"; "fd00::3"; "10.0.0.1" ])
                    [ "fd00::1"; "10.0.0.1"; "fd00::2"; "fd00::3" ]
                    "IPv6 first"

                Expect.equal (order "" [] [ "10.0.0.1"; "10.0.0.2"; "fd00::1" ]) [ "10.0.0.1"; "fd00::1"; "10.0.0.2" ] "IPv4 first"

            testCase "the one that connected last time is the first, with the other family behind it"
            <| fun () ->
                Expect.equal
                    (order "10.0.0.2" [] [ "fd00::1"; "fd00::2"; "10.0.0.1"; "10.0.0.2" ])
                    [ "10.0.0.2"; "fd00::1"; "10.0.0.1"; "fd00::2" ]
                    "order"

                Expect.equal (order "10.0.0.9" [] [ "10.0.0.1" ]) [ "10.0.0.1" ] "one that the name no longer has is forgotten"

            testCase "those that failed come last, the most recent at the end"
            <| fun () ->
                Expect.equal
                    (order "" [ "10.0.0.1"; "fd00::1" ] [ "fd00::1"; "fd00::2"; "10.0.0.1"; "10.0.0.2"; "10.0.0.1" ])
                    [ "fd00::2"; "10.0.0.2"; "10.0.0.1"; "fd00::1" ]
                    "order"

            testCase "sixteen are tried, and of more those that have failed are left out"
            <| fun () ->
                let many count = [ for n in 1..count -> $"10.0.0.{n}" ]
                Expect.equal (order "" [] (many 16)) (many 16) "sixteen"
                Expect.equal (order "" [] (many 17)) (many 16) "of seventeen"
                Expect.equal (order "" (many 16) (many 17)).Head "10.0.0.17" "the one that was left out comes first"
        ]
