/// Laws of repeated remarks.
module Agent.PropertyTests.RepetitionLaws

open System
open System.Text.RegularExpressions
open Agent.Core
open Agent.Outbound
open Agent.Sender
open Agent.PropertyTests.Generators
open Agent.PropertyTests.Laws
open Expecto
open FsCheck
open FsCheck.FSharp

type private Step =
    | Says of reason: string * figure: int
    | Over
    | Due

let private reasons = [ "delivery: refused"; "delivery: HTTP 503"; "disk: gone" ]

/// Steps and the seconds between them.
let private steps =
    let step =
        Gen.frequency
            [
                6, Gen.map2 (fun reason figure -> Says(reason, figure)) (Gen.elements reasons) (Gen.choose (0, 5000))
                1, Gen.constant Over
                2, Gen.constant Due
            ]

    upTo 60 (Gen.zip (Gen.elements [ 0; 0; 1; 2; 7; 30; 59; 60; 61; 200 ]) step)

let private remark reason (figure: int) =
    Repetition.withFigures LogLevel.Warning reason $"; {figure} held, next attempt in 0.{figure} s"

/// Each line with its second, for each step and then for the end.
let private run (steps: (int * Step)[]) : (int * LogLine)[][] =
    let mutable state = Repetition.none
    let mutable second = 0

    let printed =
        [|
            for wait, step in steps do
                second <- second + wait
                let now = TimeSpan.FromSeconds(float second)

                let struct (next, lines) =
                    match step with
                    | Says(reason, figure) -> Repetition.observe now (remark reason figure) state
                    | Over -> Repetition.over now "delivery" state
                    | Due -> Repetition.due now state

                state <- next
                lines |> Array.map (fun line -> second, line)
        |]

    let last =
        Repetition.finish (TimeSpan.FromSeconds(float second)) state
        |> Array.map (fun line -> second, line)

    Array.append printed [| last |]

/// How many remarks a line stands for.
let private count (line: LogLine) =
    let times = Regex.Match(line.Text, @" \((?:(once)|([0-9]+) times) in the last .*\)$")

    if not times.Success || times.Groups[1].Success then
        1
    else
        int times.Groups[2].Value

let private isSummary (line: LogLine) = line.Text.EndsWith ')'

let private ofReason (reason: string) (lines: seq<int * LogLine>) =
    lines
    |> Seq.filter (fun (_, line) -> line.Text.StartsWith(reason, StringComparison.Ordinal))
    |> List.ofSeq

/// An id of one kind or another, as servers put them into what they say.
let private id: Gen<string> =
    let oneOf (letters: string) = Gen.elements (Seq.toArray letters)

    let text length letters =
        Gen.arrayOfLength length (oneOf letters) |> Gen.map String

    let hex length =
        text length "0123456789abcdef"
        |> Gen.map (fun id -> if length < 8 then "7" + id else id)

    let groups =
        gen {
            let! first = hex 8
            let! middle = Gen.listOfLength 3 (hex 4)
            let! last = hex 12
            return String.concat "-" (first :: middle @ [ last ])
        }

    let base64 =
        gen {
            let! parts =
                Gen.listOfLength
                    8
                    (Gen.map3
                        (fun large small digit -> String [| large; small; digit |])
                        (oneOf "ABCXYZ")
                        (oneOf "abcxyz")
                        (oneOf "0123456789"))

            let! ending = Gen.elements [ ""; "="; "==" ]
            return String.concat "" parts + ending
        }

    Gen.oneof
        [
            Gen.choose (0, 1_000_000_000) |> Gen.map string
            Gen.choose (1, 40) |> Gen.bind hex
            Gen.choose (1, 16) |> Gen.bind hex |> Gen.map (fun id -> "0x" + id)
            groups
            base64
        ]

/// Sentences with a place for an id behind each word.
let private sentence: Gen<string list> =
    Gen.listOfLength
        4
        (Gen.elements
            [
                "HTTP 400:"
                "HTTP 422:"
                "bad request"
                "trace"
                "(of"
                "object at"
                "in /v1/api"
                "/servers/gpu-box"
                "to http://own.test/login"
            ])

let private withIds (words: string list) : Gen<string> =
    id
    |> Gen.listOfLength words.Length
    |> Gen.map (fun ids ->
        List.zip words ids
        |> List.map (fun (word, id) -> $"{word} {id}")
        |> String.concat " ")

let tests =
    testList
        "Repetition"
        [
            lawOf
                wholeCases
                "texts that differ in ids alone have the same gist, different sentences have not"
                (gen {
                    let! one = sentence
                    let! other = Gen.oneof [ Gen.constant one; sentence ]
                    let! first = withIds one
                    let! second = withIds other
                    return one = other, first, second
                })
                (fun (isSame, first, second) -> (Gist.ofMessage first = Gist.ofMessage second) = isSame)

            lawOf wholeCases "every remark is printed or counted, none twice" steps (fun steps ->
                let lines = run steps |> Seq.concat |> List.ofSeq

                reasons
                |> List.forall (fun reason ->
                    let said =
                        steps
                        |> Array.filter (fun (_, step) ->
                            match step with
                            | Says(other, _) -> other = reason
                            | _ -> false)

                    (ofReason reason lines |> List.sumBy (snd >> count)) = said.Length))

            lawOf wholeCases "what is not due and concerns no remark needs no further look" steps (fun steps ->
                let mutable state = Repetition.none
                let mutable second = 0

                steps
                |> Array.forall (fun (wait, step) ->
                    second <- second + wait
                    let now = TimeSpan.FromSeconds(float second)
                    let due = Repetition.due now state

                    let isSame =
                        (Repetition.isDue now state || due = struct (state, [||]))
                        && (Repetition.concern "delivery" state
                            || Repetition.over now "delivery" state = due)

                    state <-
                        match step with
                        | Says(reason, figure) ->
                            let struct (next, _) = Repetition.observe now (remark reason figure) state
                            next
                        | Over ->
                            let struct (next, _) = Repetition.over now "delivery" state
                            next
                        | Due ->
                            let struct (next, _) = due
                            next

                    isSame))
            lawOf wholeCases "a remark that was not made for a minute is printed at once, as it is" steps (fun steps ->
                let printed = run steps
                let mutable second = 0
                let last = Collections.Generic.Dictionary<string, int>()

                Array.zip steps printed[.. steps.Length - 1]
                |> Array.forall (fun ((wait, step), lines) ->
                    second <- second + wait

                    match step with
                    | Says(reason, figure) ->
                        // A summary may be younger than the remark, so only what was never said is certain.
                        let isNew = not (last.ContainsKey reason)
                        last[reason] <- second
                        let remark = remark reason figure

                        not isNew
                        || (lines.Length > 0
                            && (snd (Array.last lines)).Text = remark.Message + remark.Figures)
                    | _ -> true))

            lawOf wholeCases "of one remark at most two lines are printed in any minute before the end" steps (fun steps ->
                let lines = run steps |> Array.take steps.Length |> Seq.concat |> List.ofSeq

                reasons
                |> List.forall (fun reason ->
                    ofReason reason lines
                    |> List.map fst
                    |> List.windowed 3
                    |> List.forall (fun window -> window[2] - window[0] >= 60)))

            lawOf wholeCases "while nothing changes, lines about one remark lie a minute apart" steps (fun steps ->
                let calm =
                    steps
                    |> Array.filter (fun (_, step) ->
                        match step with
                        | Says(reason, _) -> reason = "disk: gone"
                        | Over -> false
                        | Due -> true)

                run calm
                |> Array.take calm.Length
                |> Seq.concat
                |> Seq.map fst
                |> Seq.pairwise
                |> Seq.forall (fun (a, b) -> b - a >= 60))

            lawOf wholeCases "the end prints nothing but counts" steps (fun steps ->
                run steps |> Array.last |> Array.forall (snd >> isSummary))
        ]
