/// Laws of the causes of trouble.
module Agent.PropertyTests.AdviceLaws

open System
open System.Globalization
open System.Text
open Agent.PropertyTests.Generators
open Agent.PropertyTests.Laws
open Expecto
open FsCheck
open FsCheck.FSharp
// After FsCheck, which has an Outcome too.
open Agent.Core
open Agent.Outbound
open Agent.Sender

let private now = DateTimeOffset(2026, 2, 26, 2, 37, 49, TimeSpan.Zero)

let private date =
    Gen.frequency
        [
            3,
            Gen.choose (-1_000_000, 1_000_000)
            |> Gen.map (fun s -> now.AddSeconds(float s).ToString("r", CultureInfo.InvariantCulture))
            1,
            Gen.choose (-10, 10)
            |> Gen.map (fun s -> now.AddSeconds(float s).ToString("r", CultureInfo.InvariantCulture))
            1, anyText
        ]

let private body =
    Gen.frequency
        [
            2, JsonLaws.anyJson |> Gen.map (fun bytes -> bytes.Content)
            1, anyText |> Gen.map Encoding.UTF8.GetBytes
            2,
            Gen.elements
                [
                    "{\"ok\": true}"
                    "{\"ok\": false, \"error\": \"x\"}"
                    "{\"ok\": 1}"
                    "<html>"
                    ""
                ]
            |> Gen.map Encoding.UTF8.GetBytes
        ]

let private exchange: Gen<Exchange> =
    gen {
        let! status = Gen.frequency [ 2, Gen.choose (-1, 1000); 1, Gen.constant 200 ]
        let! retryAfter, location = Gen.two anyText
        let! date = date
        let! body = body
        let! text = anyText

        let answered =
            Exchange.Answered
                {
                    Status = status
                    RetryAfter = retryAfter
                    Location = location
                    Date = date
                    Body = ReadOnlyMemory body
                    SamplesWritten = ValueNone
                    WasSentTwice = false
                }

        let failed =
            [
                NetworkFailure.NameNotResolved text
                NetworkFailure.Refused text
                NetworkFailure.Unreachable text
                NetworkFailure.TimedOut(TimeSpan.FromSeconds 5.0)
                NetworkFailure.Broken text
            ]

        return! Gen.frequency [ 4, Gen.constant answered; 1, Gen.elements failed |> Gen.map Exchange.Failed ]
    }

let tests =
    testList
        "Advice"
        [
            lawOf wholeCases "an exchange has a cause exactly when its sample is not delivered" exchange (fun exchange ->
                (Advice.ofExchange now exchange).IsNone = (Delivery.ofExchange now exchange).IsDelivered)
            lawOf wholeCases "every cause of an exchange has its line" exchange (fun exchange ->
                match Advice.ofExchange now exchange with
                | ValueSome cause -> (Advice.line cause).Length > 0
                | ValueNone -> true)
            lawOf wholeCases "a skew that is told is of more than five seconds" exchange (fun exchange ->
                match Advice.clockOf now exchange with
                | ValueSome skew -> skew.Duration() > TimeSpan.FromSeconds 5.0
                | ValueNone -> true)
            lawOf
                wholeCases
                "any status and any Allow header say something of the route"
                (Gen.zip (Gen.choose (-1, 1000)) anyText)
                (fun (status, allow) ->
                    match Advice.ofRoute status allow with
                    | Cause.SlugUnknown -> status = 405
                    | Cause.RouteMissing -> status = 404 || (status >= 200 && status <= 299)
                    | cause -> cause = Cause.NotFound)
            lawOf wholeCases "any exchange is a row that is good or says what to do, on one line" exchange (fun exchange ->
                let row = Diagnosis.ingest now exchange ValueNone

                (row.Result = CheckResult.Good) = (row.Fix = "")
                && not (Seq.exists Char.IsControl row.Finding))
        ]
