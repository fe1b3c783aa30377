/// Laws of the notices of alerts: what the outbox keeps of them.
module Agent.PropertyTests.Dashboard.NoticeLaws

open System
open Agent.PropertyTests.Generators
open Agent.PropertyTests.Laws
open Agent.Receiver.Alerts
open Expecto
open FsCheck
open FsCheck.FSharp

/// A text as people and kernels write them, with what JSON, HTML and chat services read as markup.
let private words: Gen<string> =
    Gen.frequency
        [
            4,
            Gen.elements
                [
                    "node-1"
                    "no sample for 2 min"
                    "<b>&amp;\"'`*_~|>"
                    "@everyone <!channel>"
                    "ümläut 機械 😀"
                    ""
                ]
            2, anyText
            1, Gen.choose (0, 4000) |> Gen.map (fun length -> String('x', length))
        ]

/// Any notice that an evaluation could give.
let notice: Gen<Notice> =
    gen {
        let! alert = Gen.choose64 (1L, 1_000_000L)
        let! rule = Gen.elements [ "machine-silent"; "gpu-hot"; "disk-full" ]
        let! level = Gen.elements [ AlertLevel.Critical; AlertLevel.Warning ]
        let! state = Gen.elements [ NoticeState.Firing; NoticeState.Resolved ]
        let! slug = Gen.elements [ "node-1"; "node-2"; "" ]
        let! machine = words
        let! what = words
        let! why = words
        let! since = Gen.choose64 (0L, 1_000_000_000_000_000L)
        let! lasted = Gen.choose64 (0L, 1_000_000_000_000L)

        return
            {
                Alert = alert
                Rule = rule
                Level = level
                State = state
                Slug = slug
                Machine = machine
                What = what
                Why = why
                Since = since
                Until = if state = NoticeState.Firing then -1L else since + lasted
                Path = if slug = "" then "/" else $"/servers/{slug}?at={since}"
            }
    }

/// One to thirty of them.
let notices: Gen<Notice[]> =
    Gen.choose (1, 30) |> Gen.bind (fun count -> Gen.arrayOfLength count notice)

[<Tests>]
let tests =
    testList
        "Notice laws"
        [
            law "decode (encode notices) = notices" notices (fun all -> NoticeJson.decode (NoticeJson.encode all) = Ok all)

            law "two texts joined are the text of both" (Gen.two (upTo 5 notice)) (fun (first, second) ->
                NoticeJson.join (NoticeJson.encode first) (NoticeJson.encode second) = NoticeJson.encode (Array.append first second))

            law "any text at all is notices or an error, never an exception" anyText (fun text ->
                match NoticeJson.decode text with
                | Ok found -> found.Length = 0 && text.Trim() = "[]"
                | Error sentence -> sentence <> "")
        ]
