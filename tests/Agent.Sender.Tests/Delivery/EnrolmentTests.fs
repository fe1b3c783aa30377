/// A machine asks for a name and a token: what it says, and what an answer means.
module Agent.Sender.Tests.EnrolmentTests

open System
open System.Text
open Agent.Core
open Agent.Outbound
open Agent.Sender
open Expecto

let private host = "https://dash.example:8443"

let private machine: EnrolledMachine = { Id = "ab"; Hostname = "gpu-01" }

let private answerOf (status: int) (retryAfter: string) (body: string) : Answer =
    {
        Status = status
        RetryAfter = retryAfter
        Location = ""
        Date = ""
        Body = ReadOnlyMemory(Encoding.UTF8.GetBytes body)
        SamplesWritten = ValueNone
        WasSentTwice = false
    }

let private answer (status: int) (body: string) : Exchange =
    Exchange.Answered(answerOf status "" body)

let private after exchange =
    Enrolment.stepAfter DateTimeOffset.UnixEpoch host exchange

let private isSome (read: Result<Enrolled voption, string>) =
    match read with
    | Ok found -> found.IsSome
    | Error _ -> false

let private isNone (read: Result<Enrolled voption, string>) =
    match read with
    | Ok found -> found.IsNone
    | Error _ -> false

let private reasonOf exchange =
    match after exchange with
    | EnrolmentStep.Later(_, reason) -> reason
    | EnrolmentStep.Done _ -> failtest "nothing is granted"

[<Tests>]
let tests =
    testList
        "Enrolment"
        [
            testCase "the machine's id is what systemd makes of it for one application"
            <| fun () ->
                // systemd-id128 machine-id --app-specific=5b1f9c2e847d4f0a9d360ec17a52b86f, on a machine of that id.
                Expect.equal
                    (Enrolment.machineIdOf "0123456789abcdef0123456789abcdef\n")
                    "dbea0cef643e4b3180067db66666a815"
                    "the id of an application"

            testCase "what is no id is none"
            <| fun () ->
                for text in [ ""; "uninitialized\n"; "0123"; String('0', 33); String('g', 32) ] do
                    Expect.equal (Enrolment.machineIdOf text) "" text

            testCase "the request says who it is, and what it would like to be called"
            <| fun () ->
                let text slug =
                    Encoding.UTF8.GetString(Enrolment.requestOf (Secret "k") machine slug)

                Expect.equal (text "") """{"key":"k","machine_id":"ab","hostname":"gpu-01"}""" "no wish"
                Expect.equal (text "box") """{"key":"k","machine_id":"ab","hostname":"gpu-01","server_slug":"box"}""" "a wish"

            testCase "a slug and a token are what it was about"
            <| fun () ->
                match after (answer 200 """{"ok":true,"server_slug":"gpu-01","token":"t0k","labels":{"rack":"7"}}""") with
                | EnrolmentStep.Done(enrolled, token) ->
                    Expect.equal (enrolled.Slug, enrolled.Labels) ("gpu-01", [| struct ("rack", "7") |]) "place"
                    Expect.equal (token.Reveal()) "t0k" "token"
                | EnrolmentStep.Later(_, reason) -> failtest reason

            testCase "a refusal says whose fault it is and what to do"
            <| fun () ->
                Expect.stringContains
                    (reasonOf (answer 401 """{"ok":false,"error":"Invalid enrolment key."}"""))
                    "enrol-keys list"
                    "a wrong key"

                Expect.stringContains (reasonOf (answer 404 "<h1>Not Found</h1>")) "--server-slug" "a webapp that enrols nobody"
                Expect.stringContains (reasonOf (answer 200 "<h1>Welcome</h1>")) host "something else"
                Expect.stringContains (reasonOf (answer 200 """{"server_slug":"../x","token":"t"}""")) "slug" "no slug"
                Expect.stringContains (reasonOf (Exchange.Failed(NetworkFailure.Broken "reset"))) "reset" "no answer"

            testCase "a server that wants to be left alone says for how long"
            <| fun () ->
                match after (Exchange.Answered(answerOf 429 "30" "")) with
                | EnrolmentStep.Later(delay, _) -> Expect.equal delay (ValueSome(TimeSpan.FromSeconds 30.0)) "delay"
                | EnrolmentStep.Done _ -> failtest "nothing is granted"

            testCase "what is kept has no token, and is of its host alone"
            <| fun () ->
                let enrolled =
                    {
                        Slug = "gpu-01"
                        Labels = [| struct ("rack", "7") |]
                    }

                let kept = ReadOnlyMemory(Enrolment.encode host machine enrolled)

                match Enrolment.decode host machine kept with
                | Ok(ValueSome read) -> Expect.equal (read.Slug, read.Labels) (enrolled.Slug, enrolled.Labels) "the same"
                | _ -> failtest "it can be read"

                Expect.isTrue (isNone (Enrolment.decode "https://other.example" machine kept)) "another host"
                Expect.isTrue (isNone (Enrolment.decode host machine (ReadOnlyMemory(kept.Span.Slice(0, 10).ToArray())))) "torn"

            testCase "it is of its machine: a copy of the disk with an id and a name of its own enrols for itself"
            <| fun () ->
                let kept machine =
                    ReadOnlyMemory(Enrolment.encode host machine { Slug = "golden"; Labels = [||] })

                for id, name, isSame in
                    [
                        "ab", "gpu-01", true
                        // Renamed, reinstalled, in a container without an id.
                        "ab", "gpu-02", true
                        "cd", "gpu-01", true
                        "cd", "GPU-01", true
                        "", "gpu-02", true
                        "cd", "gpu-02", false
                    ] do
                    let read = Enrolment.decode host { Id = id; Hostname = name } (kept machine)
                    Expect.equal (isSome read, read.IsError) (isSame, not isSame) $"{id} {name}"

                match Enrolment.decode host { Id = "cd"; Hostname = "gpu-02" } (kept machine) with
                | Error sentence -> Expect.stringContains sentence "made on gpu-01" "says whose it is"
                | Ok _ -> failtest "it is another machine's"

                Expect.isTrue
                    (isSome (Enrolment.decode host { Id = "cd"; Hostname = "gpu-02" } (kept { machine with Id = "" })))
                    "made where there was no id"

            testCase "what an earlier version kept, without a machine, is still taken"
            <| fun () ->
                let kept = """{"host":"https://dash.example:8443","server_slug":"gpu-01","labels":{}}"""
                Expect.isTrue (isSome (Enrolment.decode host machine (ReadOnlyMemory(Encoding.UTF8.GetBytes kept)))) "of 0.1"
        ]
