module Agent.Sender.Tests.AdviceTests

open System
open System.Text
open Agent.Core
open Agent.Outbound
open Agent.Sender
open Expecto
open FSharp.Reflection

let private noon = DateTimeOffset(2026, 2, 26, 12, 0, 0, TimeSpan.Zero)

let private answerAt (date: string) status (body: string) : Exchange =
    Exchange.Answered
        {
            Status = status
            RetryAfter = ""
            Location = ""
            Date = date
            Body = ReadOnlyMemory(Encoding.UTF8.GetBytes body)
            SamplesWritten = ValueNone
            WasSentTwice = false
        }

let private answer = answerAt ""

let private html = "<html><body>no</body></html>"

let private error = """{"ok": false, "error": "x"}"""

let private answers =
    [
        200, """{"ok": true}""", ValueNone
        200, error, ValueSome Cause.UnexpectedAnswer
        200, html, ValueSome Cause.ForeignService
        204, "", ValueSome Cause.ForeignService
        301, "", ValueSome Cause.Redirected
        308, "", ValueSome Cause.Redirected
        304, "", ValueSome Cause.UnexpectedAnswer
        511, html, ValueSome Cause.ForeignService
        400, error, ValueSome Cause.SampleRefused
        401, error, ValueSome Cause.TokenRefused
        401, html, ValueSome Cause.AccessDenied
        403, error, ValueSome Cause.ServerDisabled
        403, html, ValueSome Cause.AccessDenied
        404, html, ValueSome Cause.NotFound
        404, error, ValueSome Cause.NotFound
        405, "", ValueSome Cause.MethodRefused
        407, "", ValueSome Cause.ProxyRefuses
        408, "", ValueSome Cause.ServerImpatient
        413, html, ValueSome Cause.SampleTooLarge
        418, "", ValueSome Cause.UnexpectedAnswer
        422, error, ValueSome Cause.SampleRefused
        429, "", ValueSome Cause.TooManyRequests
        500, html, ValueSome Cause.ServerFailing
        401,
        "{\"ok\": false, \"error\": \"x\", \"detail\": \"ai-dashboard register-server a --rotate-token makes a new token\"}",
        ValueSome Cause.DashboardTokenRefused
        404,
        "{\"ok\": false, \"error\": \"x\", \"detail\": \"ai-dashboard register-server a registers it\"}",
        ValueSome Cause.DashboardSlugUnknown
        404, "{\"ok\": false, \"error\": \"Not found.\", \"detail\": \"/api/\"}", ValueSome Cause.NotFound
        503, error, ValueSome Cause.NotStoring
        502, html, ValueSome Cause.GatewayFailing
        503, html, ValueSome Cause.GatewayFailing
        504, html, ValueSome Cause.GatewayFailing
        599, "", ValueSome Cause.ServerFailing
        101, "", ValueSome Cause.UnexpectedAnswer
    ]

let private failures =
    [
        NetworkFailure.NameNotResolved "h", Cause.NameUnresolved
        NetworkFailure.Refused "h:1", Cause.ConnectionRefused
        NetworkFailure.Unreachable "h:1", Cause.Unreachable
        NetworkFailure.TimedOut(TimeSpan.FromSeconds 5.0), Cause.TimedOut
        NetworkFailure.NoHandshake("h:1", TimeSpan.FromSeconds 5.0), Cause.TlsFailed
        NetworkFailure.NoTunnel("p:1", TimeSpan.FromSeconds 5.0), Cause.GatewayFailing
        NetworkFailure.Broken "reset", Cause.ConnectionBroken
        NetworkFailure.Unreadable "x", Cause.AnswerUnreadable
        NetworkFailure.ProxyRefused("p:1", "407"), Cause.ProxyRefuses
        NetworkFailure.ProxyUnreachable(NetworkFailure.Refused "the proxy p:1"), Cause.ProxyUnreachable
        NetworkFailure.ProxyUnreachable(NetworkFailure.NameNotResolved "p, which is the proxy's,"), Cause.ProxyUnreachable
        NetworkFailure.ProxyRefused("p:3128", "502"), Cause.GatewayFailing
        NetworkFailure.ProxyRefused("p:3128", "504"), Cause.GatewayFailing
    ]

let private routes =
    [
        405, "POST", Cause.SlugUnknown
        405, "OPTIONS, post", Cause.SlugUnknown
        405, "GET, HEAD", Cause.NotFound
        405, "", Cause.NotFound
        404, "", Cause.RouteMissing
        200, "", Cause.RouteMissing
        500, "", Cause.NotFound
        301, "", Cause.NotFound
    ]

[<Tests>]
let tests =
    testList
        "Advice"
        [
            testCase "every cause stands in the table exactly once"
            <| fun () ->
                let cases =
                    FSharpType.GetUnionCases typeof<Cause>
                    |> Array.map (fun case -> unbox<Cause>(FSharpValue.MakeUnion(case, [||])))

                let listed = Remedies.all |> Array.map (fun remedy -> remedy.Cause)
                Expect.equal (Array.sort listed) (Array.sort cases) "one entry for each case"

            testCase "no two causes have the same name, sentence or remedy but where the remedy is the same"
            <| fun () ->
                let keys = Remedies.all |> Array.map (fun remedy -> remedy.Key)
                let sentences = Remedies.all |> Array.map (fun remedy -> remedy.Wrong)
                Expect.equal (Array.distinct keys) keys "names"
                Expect.equal (Array.distinct sentences) sentences "sentences"

            for remedy in Remedies.all do
                testCase $"{remedy.Key}: both texts are sentences, on one line"
                <| fun () ->
                    Expect.isTrue (remedy.Key |> Seq.forall (fun c -> Char.IsAsciiLetterLower c || c = '-')) "a name in kebab case"

                    for text in [ remedy.Wrong; remedy.Fix ] do
                        Expect.isFalse (text |> Seq.exists Char.IsControl) "one line"
                        Expect.isTrue (text.EndsWith '.') "ends as a sentence"
                        Expect.isTrue (text.Length > 12 && text.Length < 130) $"of a sentence's length: {text}"

                        Expect.isTrue (Char.IsUpper text[0] || text.StartsWith '-' || text.StartsWith "nvidia") "begins as a sentence"

            for status, body, expected in answers do
                testCase $"{status} with {body}"
                <| fun () -> Expect.equal (Advice.ofExchange noon (answer status body)) expected "cause"

            for failure, expected in failures do
                testCase $"no answer: {failure}"
                <| fun () -> Expect.equal (Advice.ofExchange noon (Exchange.Failed failure)) (ValueSome expected) "cause"

            for name, exchange, expected in
                [
                    "a proxy that refuses",
                    Exchange.Failed(NetworkFailure.ProxyUnreachable(NetworkFailure.Refused "the proxy p:1")),
                    "(the proxy p:1 refuses the connection)"
                    "a webapp that cannot store",
                    answer 503 """{"ok": false, "error": "The sample cannot be stored.", "detail": "the disk is full"}""",
                    "(it says: The sample cannot be stored: the disk is full)"
                    "a webapp with a long story",
                    answer 503 ("{\"ok\": false, \"error\": \"a\\u0007" + String('b', 5000) + "\"}"),
                    "(it says: a\\x07" + String('b', 195) + "…)"
                    "a proxy's own 503", answer 503 """{"error": "no upstream"}""", ""
                    "a webapp that refuses the token", answer 401 error, ""
                    "a webapp that is not there", Exchange.Failed(NetworkFailure.Refused "h:1"), ""
                ] do
                testCase $"what goes behind the advice: {name}"
                <| fun () ->
                    Expect.equal (Advice.detailOf exchange) expected "detail"
                    Expect.isLessThan expected.Length 400 "bounded"
                    Expect.isFalse (Seq.exists Char.IsControl expected) "one line"

            for status, allow, expected in routes do
                testCase $"a GET answered {status}, Allow: {allow}"
                <| fun () -> Expect.equal (Advice.ofRoute status allow) expected "cause"

            testCase "the clock is told to be 60 s ahead of a server that is a minute behind"
            <| fun () ->
                let exchange = answerAt "Thu, 26 Feb 2026 11:59:00 GMT" 200 "{}"
                Expect.equal (Advice.clockOf noon exchange) (ValueSome(TimeSpan.FromSeconds 60.0)) "skew"
                Expect.equal (Advice.describeSkew (TimeSpan.FromSeconds 60.0)) "60.0 s ahead of the webapp's" "words"
                Expect.equal (Advice.describeSkew (TimeSpan.FromSeconds -7.3)) "7.3 s behind the webapp's" "words"

            for date in
                [
                    "Thu, 26 Feb 2026 12:00:05 GMT"
                    "Thu, 26 Feb 2026 11:59:55 GMT"
                    ""
                    "yesterday"
                ] do
                testCase $"the clock is not blamed for a Date of \"{date}\""
                <| fun () -> Expect.equal (Advice.clockOf noon (answerAt date 500 "")) ValueNone "no skew"

            for status, body, expected in
                [
                    200, "", ValueNone
                    204, "", ValueNone
                    200, html, ValueSome Cause.ReceiverMissing
                    301, "", ValueSome Cause.Redirected
                    304, "", ValueSome Cause.UnexpectedAnswer
                    511, html, ValueSome Cause.ForeignService
                    400, "unsupported path", ValueSome Cause.ReceiverRefuses
                    401, "", ValueSome Cause.ReceiverDenies
                    403, html, ValueSome Cause.ReceiverDenies
                    404, "404 page not found", ValueSome Cause.ReceiverMissing
                    405, "", ValueSome Cause.ReceiverMissing
                    413, "", ValueSome Cause.SampleTooLarge
                    429, "", ValueSome Cause.TooManyRequests
                    500, "", ValueSome Cause.ServerFailing
                    503, "", ValueSome Cause.GatewayFailing
                ] do
                testCase $"a receiver of remote-write answers {status} with {body}"
                <| fun () -> Expect.equal (Advice.ofReceiverExchange noon (answer status body)) expected "cause"

            for status, body, expected in
                [
                    200, "", ValueNone
                    200, html, ValueSome Cause.OtlpMissing
                    301, "", ValueSome Cause.Redirected
                    304, "", ValueSome Cause.UnexpectedAnswer
                    511, html, ValueSome Cause.ForeignService
                    400, "", ValueSome Cause.OtlpRefuses
                    401, "", ValueSome Cause.OtlpDenies
                    403, html, ValueSome Cause.OtlpDenies
                    404, "404 page not found", ValueSome Cause.OtlpMissing
                    405, "", ValueSome Cause.OtlpMissing
                    413, "", ValueSome Cause.OtlpRefuses
                    415, "", ValueSome Cause.OtlpRefuses
                    429, "", ValueSome Cause.TooManyRequests
                    500, "", ValueSome Cause.OtlpRefuses
                    502, "", ValueSome Cause.GatewayFailing
                    503, "", ValueSome Cause.GatewayFailing
                ] do
                testCase $"a receiver of OTLP answers {status} with {body}"
                <| fun () ->
                    Expect.equal (Advice.ofOtlpExchange noon (answer status body)) expected "cause"
                    Expect.equal (Advice.ofDestinationExchange Destination.Otlp noon (answer status body)) expected "of the destination"

            testCase "of a receiver of OTLP nothing is said of a webapp"
            <| fun () ->
                Expect.equal
                    (Advice.lineFor Destination.Otlp Cause.ConnectionRefused)
                    "otlp: Nothing listens at the receiver's address. Start the receiver, or correct the port in --otlp."
                    "as it is told"

            testCase "of a receiver of remote-write nothing is said of a webapp"
            <| fun () ->
                for remedy in Remedies.all do
                    if remedy.Wrong.Contains "ebapp" && not (remedy.Wrong.Contains "token") then
                        let line = Advice.lineFor Destination.RemoteWrite remedy.Cause
                        Expect.isFalse (line.Contains "webapp" || line.Contains "--host ") line

                Expect.equal
                    (Advice.lineFor Destination.RemoteWrite Cause.ConnectionRefused)
                    "remote-write: Nothing listens at the receiver's address. Start the receiver, or correct the port in --remote-write."
                    "as it is told"

                Expect.equal
                    (Advice.clockLine Destination.RemoteWrite (TimeSpan.FromSeconds -7.3))
                    ("remote-write: This machine's clock and the receiver's differ. Synchronise both with NTP (timedatectl set-ntp true). "
                     + "It is 7.3 s behind the receiver's.")
                    "the clock"

            testCase "a refused token is told with what to do, on one line"
            <| fun () ->
                Expect.equal
                    (Advice.line Cause.TokenRefused)
                    ("The webapp refuses the token: it is wrong, or was rotated. "
                     + "Run register_server SLUG --rotate-token at the webapp and give the agent the new token.")
                    "line"
        ]
