/// Which server a machine that enrols is, and what it is called.
module Agent.Receiver.Tests.EnrolmentTests

open System
open System.Text
open Agent.Receiver
open Expecto

let private now = DateTimeOffset(2026, 11, 28, 12, 0, 0, TimeSpan.Zero)

let private asks id name slug : EnrolRequest =
    {
        Key = "k"
        MachineId = id
        Hostname = name
        Slug = slug
    }

let private machine number id name (minutesAgo: float) : EnrolledMachine =
    {
        Id = number
        MachineId = id
        Hostname = name
        LastSample = ValueSome(now.AddMinutes -minutesAgo)
    }

let private one = String('1', 32)
let private two = String('2', 32)

let private decide machines request =
    Enrolment.decide now (Array.ofList machines) request

[<Tests>]
let tests =
    testList
        "Enrolment"
        [
            testCase "the same machine is itself again, though it sent a moment ago"
            <| fun () ->
                Expect.equal
                    (decide [ machine 3 two "b" 0.0; machine 7 one "a" 0.0 ] (asks one "a" ""))
                    (EnrolDecision.Again 7)
                    "an agent that lost its state"

            testCase "a machine that was installed anew is itself again"
            <| fun () ->
                Expect.equal (decide [ machine 7 one "GPU-01" 11.0 ] (asks two "gpu-01" "")) (EnrolDecision.Again 7) "silent since"
                Expect.equal (decide [ machine 7 one "GPU-01" 9.0 ] (asks two "gpu-01" "")) EnrolDecision.New "two of one name"

            testCase "a machine that was renamed is itself again, and a copy of its disk is not"
            <| fun () ->
                Expect.equal (decide [ machine 7 one "a" 11.0 ] (asks one "b" "")) (EnrolDecision.Again 7) "renamed"
                Expect.equal (decide [ machine 7 one "a" 1.0 ] (asks one "b" "")) EnrolDecision.New "a copy, for the other one sends"

            testCase "no id is nobody's id"
            <| fun () -> Expect.equal (decide [ machine 7 "" "a" 60.0 ] (asks "" "b" "")) EnrolDecision.New "two without an id"

            testCase "a slug is the wish, else made of the host name, with a number where it is taken"
            <| fun () ->
                let taken = set [ "gpu-01"; "gpu-01-2" ]

                let slug request =
                    Enrolment.slugFor (Func<string, bool> taken.Contains) request

                Expect.equal (slug (asks one "GPU-01" "")) "gpu-01-3" "taken twice"
                Expect.equal (slug (asks one "node7.cluster.example" "")) "node7-cluster-example" "a full name"
                Expect.equal (slug (asks one "x" "Box_1")) "Box_1" "a wish"
                Expect.equal (slug (asks one "ü" "")) "machine" "nothing of it can stand in a slug"

            testCase "what is no enrolment is refused with a reason"
            <| fun () ->
                let refused (text: string) =
                    match Enrolment.read (ReadOnlyMemory(Encoding.UTF8.GetBytes text)) with
                    | Ok _ -> failtest "not refused"
                    | Error refusal -> refusal.Detail

                Expect.stringContains (refused "{}") "key" "no key"
                Expect.stringContains (refused """{"key":"k","hostname":"h","machine_id":"xyz"}""") "32 hexadecimal digits" "no id"
                Expect.stringContains (refused """{"key":"k","hostname":"h","server_slug":"a/b"}""") "slug" "no slug"
                Expect.stringContains (refused "{\"key\":\"k\",\"hostname\":\"a\\nb\"}") "hostname" "two lines"

            testCase "labels come back as they were kept"
            <| fun () ->
                let labels = [| struct ("rack", "7"); struct ("owner", "Ä \"q\"") |]
                Expect.equal (Enrolment.labelsOf (Enrolment.labelText labels)) labels "labels"
        ]
