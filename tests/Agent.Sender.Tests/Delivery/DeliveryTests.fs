module Agent.Sender.Tests.DeliveryTests

open System
open System.Text
open Agent.Core
open Agent.Outbound
open Agent.Sender
open Expecto

let private noon = DateTimeOffset(2026, 2, 26, 12, 0, 0, TimeSpan.Zero)

let private seconds (value: float) = TimeSpan.FromSeconds value

let private answer status (body: string) : Answer =
    {
        Status = status
        RetryAfter = ""
        Location = ""
        Date = ""
        Body = ReadOnlyMemory(Encoding.UTF8.GetBytes body)
        SamplesWritten = ValueNone
        WasSentTwice = false
    }

let private outcomeOf status body =
    Delivery.ofAnswer noon (answer status body)

let private html = "<html><body>Not Found</body></html>"

let private refused text =
    $"""{{"ok": false, "error": "{text}"}}"""

/// What the webapp answers, from docs/ingest-api.md.
let private stored =
    """{"ok": true, "server": {"slug": "gpu-box-01"}, "snapshot": {"id": 7, "collected_at": "2026-02-26T02:37:49.120000+00:00",
        "bottleneck": "gpu-bound", "cpu_usage_percent": 12.50, "top_gpu_util_percent": 97, "disk_util_percent": null}}"""

let private receipt: Receipt =
    {
        CollectedAt = "2026-02-26T02:37:49.120000+00:00"
        Bottleneck = "gpu-bound"
        CpuUsage = "12.50"
        TopGpuUtilization = "97"
        DiskUtilization = ""
    }

let private notTheWebapp status =
    $"HTTP {status}, but not the webapp's JSON: something else answers at this address"

let private crash reason = Outcome.Crash(ValueNone, reason)

let private later reason = Outcome.RetryAfter(ValueNone, reason)

let private answers =
    [
        "stored", 200, stored, Outcome.Delivered receipt
        "stored, without a snapshot", 200, """{"ok": true}""", Outcome.Delivered Delivery.noReceipt
        "stored, snapshot null", 200, """{"ok": true, "snapshot": null}""", Outcome.Delivered Delivery.noReceipt
        "stored, snapshot no object", 200, """{"ok": true, "snapshot": 7}""", Outcome.Delivered Delivery.noReceipt
        "stored, beside a name that is no text", 200, """{"\ud800": {"\udc00": 1}, "ok": true}""", Outcome.Delivered Delivery.noReceipt
        "stored, with such a name in the snapshot",
        200,
        """{"ok": true, "snapshot": {"\ud800": 1, "bottleneck": "\ud800", "cpu_usage_percent": 5}}""",
        Outcome.Delivered
            { Delivery.noReceipt with
                CpuUsage = "5"
            }
        "not ok", 200, refused "Busy.", later "HTTP 200: Busy."
        "not ok, without a reason", 200, """{"ok": false}""", later "HTTP 200"
        "a login page", 200, "<html>login</html>", later (notTheWebapp 200)
        "nothing", 200, "", later (notTheWebapp 200)
        "an empty object", 200, "{}", later (notTheWebapp 200)
        "an array", 200, "[true]", later (notTheWebapp 200)
        "ok as text", 200, """{"ok": "true"}""", later (notTheWebapp 200)
        "ok as a number", 200, """{"ok": 1}""", later (notTheWebapp 200)
        "ok null", 200, """{"ok": null}""", later (notTheWebapp 200)
        "cut off before it says so", 200, """{"snapshot": {"id": 7}, "ok": tru""", later (notTheWebapp 200)
        "cut off behind it", 200, """{"ok": true, "snapshot": {"id": 7""", Outcome.Delivered Delivery.noReceipt
        "not ok, and cut off", 200, """{"ok": false, "error": {"id": 7""", later (notTheWebapp 200)
        "two values", 200, """{"ok": true} {"ok": true}""", Outcome.Delivered Delivery.noReceipt
        "a figure of Python's", 200, """{"ok": true, "snapshot": {"top_gpu_util_percent": NaN}}""", Outcome.Delivered Delivery.noReceipt
        "too deep", 200, """{"ok": true, "x": """ + String('[', 70) + String(']', 70) + "}", Outcome.Delivered Delivery.noReceipt
        "NaN before it says so", 200, """{"x": NaN, "ok": true}""", later (notTheWebapp 200)
        "created", 201, stored, later (notTheWebapp 201)
        "accepted", 202, stored, later (notTheWebapp 202)
        "no content", 204, "", later (notTheWebapp 204)
        "bad JSON", 400, refused "Body is not JSON.", Outcome.Reject "HTTP 400: Body is not JSON."
        "too long, as HTML", 400, html, Outcome.Reject "HTTP 400"
        "too large", 413, html, Outcome.Reject "HTTP 413"
        "unprocessable", 422, refused "No.", Outcome.Reject "HTTP 422: No."
        "wrong token", 401, refused "Invalid ingest token.", Outcome.Hold "HTTP 401: Invalid ingest token."
        "disabled", 403, refused "Server is disabled.", Outcome.Hold "HTTP 403: Server is disabled."
        "unknown slug", 404, html, Outcome.Hold "HTTP 404"
        "not POST", 405, "", Outcome.Hold "HTTP 405"
        "proxy authentication", 407, html, Outcome.Hold "HTTP 407"
        "gone", 410, html, Outcome.Hold "HTTP 410"
        "request time-out", 408, "", later "HTTP 408"
        "too early", 425, "", later "HTTP 425"
        "too many", 429, refused "Slow down.", later "HTTP 429: Slow down."
        "server error", 500, html, crash "HTTP 500"
        "bad gateway", 502, html, later "HTTP 502"
        "unavailable", 503, html, later "HTTP 503"
        "gateway time-out", 504, html, later "HTTP 504"
        "a made-up one", 599, "", later "HTTP 599"
        "an error that is no text", 500, """{"ok": false, "error": {"a": 1}}""", crash "HTTP 500"
        "an error of two lines", 500, refused "one\\ntwo", crash "HTTP 500: one\\x0atwo"
        "an error with a lone surrogate", 500, refused "\\ud800", crash "HTTP 500"
        "not ok, with a lone surrogate", 200, refused "\\ud800", later "HTTP 200"
    ]

let private answerTests =
    testList
        "answers"
        [
            for name, status, body, expected in answers do
                testCase $"HTTP {status}, {name}"
                <| fun () -> Expect.equal (outcomeOf status body) expected "outcome"

            testCase "an answer that is not UTF-8 is an answer like any other"
            <| fun () ->
                let bytes (text: string) : ReadOnlyMemory<byte> =
                    ReadOnlyMemory(Encoding.Latin1.GetBytes text)

                let outcome status text =
                    Delivery.ofAnswer
                        noon
                        { answer status "" with
                            Body = bytes text
                        }

                Expect.equal (outcome 500 """{"ok": false, "error": "caf\xe9"}""") (crash "HTTP 500") "escape that JSON lacks"
                Expect.equal (outcome 500 "{\"ok\": false, \"error\": \"caf\u00e9\"}") (crash "HTTP 500") "a byte of Latin 1"
                Expect.equal (outcome 200 "{\"\u00e9\": 1}") (later (notTheWebapp 200)) "in a name"

                Expect.equal
                    (outcome 200 "{\"ok\": true, \"snapshot\": {\"bottleneck\": \"\u00e9\"}}"
                     |> _.IsDelivered)
                    true
                    "ok alone decides"

            testCase "a long error is cut after 80 characters"
            <| fun () -> Expect.equal (outcomeOf 500 (refused (String('x', 200)))) (crash ("HTTP 500: " + String('x', 80) + "…")) "cut"

            testCase "a redirect holds and names its target"
            <| fun () ->
                for status in [ 301; 302; 303; 307; 308 ] do
                    Expect.equal
                        (Delivery.ofAnswer
                            noon
                            { answer status html with
                                Location = "https://other.example/login"
                                Date = ""
                            })
                        (Outcome.Hold
                            $"HTTP {status}: redirected to https://other.example/login; redirects are not followed, correct --host")
                        $"HTTP {status}"

                Expect.equal
                    (outcomeOf 302 "")
                    (Outcome.Hold "HTTP 302: redirected to nowhere; redirects are not followed, correct --host")
                    "without a target"

                for status in [ 304; 305; 306; 310; 399 ] do
                    Expect.equal (outcomeOf status "") (Outcome.Hold $"HTTP {status}") "leads nowhere"

                Expect.equal (outcomeOf 300 "") (Outcome.Hold "HTTP 300") "several choices, and no target"

            testCase "a delivery does not look at Retry-After, a refusal neither"
            <| fun () ->
                let withHeader status body =
                    Delivery.ofAnswer
                        noon
                        { answer status body with
                            RetryAfter = "7"
                        }

                Expect.equal (withHeader 200 stored) (Outcome.Delivered receipt) "200"
                Expect.equal (withHeader 400 "") (Outcome.Reject "HTTP 400") "400"
                Expect.equal (withHeader 404 "") (Outcome.Hold "HTTP 404") "404"
                Expect.equal (withHeader 429 "") (Outcome.RetryAfter(ValueSome(seconds 7.0), "HTTP 429")) "429"
                Expect.equal (withHeader 503 "") (Outcome.RetryAfter(ValueSome(seconds 7.0), "HTTP 503")) "503"
        ]

let private failureTests =
    testList
        "failures"
        [
            testCase "what a request without an answer means"
            <| fun () ->
                for failure, expected in
                    [
                        NetworkFailure.NameNotResolved "nowhere.example", later "the name nowhere.example does not resolve"
                        NetworkFailure.Refused "127.0.0.1:8000", later "127.0.0.1:8000 refuses the connection"
                        NetworkFailure.Unreachable "10.0.0.1:80", later "10.0.0.1:80 cannot be reached"
                        NetworkFailure.TimedOut(seconds 5.0), later "no complete answer within 5 s"
                        NetworkFailure.TimedOut(seconds 0.25), later "no complete answer within 0.25 s"
                        NetworkFailure.Broken "reset by peer", later "the connection broke: reset by peer"
                        NetworkFailure.Unreadable "its headers are too long", later "the answer cannot be read: its headers are too long"
                        NetworkFailure.NoHandshake("h:443", seconds 2.0),
                        later "h:443 accepts the connection, but does not complete the TLS handshake within 2 s"
                        NetworkFailure.NoTunnel("p:3128", seconds 2.0),
                        later "the proxy p:3128 accepts the connection, but does not connect to the server within 2 s"
                        NetworkFailure.NoConnection("10.0.0.1:80", seconds 5.0), later "no connection to 10.0.0.1:80 within 5 s"
                        NetworkFailure.ProxyRefused("p:3128", "407"), later "the proxy p:3128 does not let the request through: HTTP 407"
                        NetworkFailure.ProxyRefused("p:3128", "502"), later "the proxy p:3128 cannot connect to the server: HTTP 502"
                        NetworkFailure.ProxyRefused("p:3128", ""), later "the proxy p:3128 does not let the request through"
                        NetworkFailure.ProxyUnreachable(NetworkFailure.Refused "the proxy p:3128"),
                        later "the proxy p:3128 refuses the connection"
                        NetworkFailure.Tls(TlsFault.ClientCertificateWanted, [| TlsFault.Revoked "a" |]),
                        Outcome.Hold(
                            "TLS failed: client certificate required: the server asks for one, and none was given; "
                            + "certificate revoked: the certificate of a"
                        )
                        NetworkFailure.Tls(TlsFault.NotTls, [||]), Outcome.Hold $"TLS failed: {TlsFault.NotTls}"
                    ] do
                    Expect.equal (Delivery.ofFailure failure) expected (string failure)
        ]

/// A chain of a server, its authority in between, and a root.
let private facts: CertificateFacts =
    let link subject issuer : CertificateLink =
        {
            Subject = subject
            Issuer = issuer
            NotBefore = noon.AddDays -30.0
            NotAfter = noon.AddDays 30.0
            Problems = [||]
        }

    {
        Host = "h.example"
        IsForHost = true
        Names = [| "h.example" |]
        Chain = [| link "h" "Middle"; link "Middle" "Root"; link "Root" "Root" |]
        Now = noon
    }

/// The facts with problems at one link of the chain.
let private withProblems (index: int) (problems: string list) (facts: CertificateFacts) : CertificateFacts =
    let chain = Array.copy facts.Chain

    chain[index] <-
        { chain[index] with
            Problems = Array.ofList problems
        }

    { facts with Chain = chain }

let private tlsTests =
    let said (facts: CertificateFacts) =
        Tls.ofCertificate facts |> Array.map string |> List.ofArray

    testList
        "TLS"
        [
            testCase "what is wrong with a certificate, in its own words"
            <| fun () ->
                let at (now: DateTimeOffset) = { facts with Now = now }

                for facts, expected in
                    [
                        at (noon.AddDays 31.0) |> withProblems 0 [ "NotTimeValid" ],
                        "certificate expired: the certificate of h was valid until 2026-03-28 12:00:00 UTC, this machine's clock says 2026-03-29 12:00:00 UTC"
                        at (noon.AddDays 31.0) |> withProblems 1 [ "NotTimeValid" ],
                        "certificate expired: the certificate of Middle was valid until 2026-03-28 12:00:00 UTC, this machine's clock says 2026-03-29 12:00:00 UTC"
                        at (noon.AddYears -50) |> withProblems 0 [ "NotTimeValid" ],
                        "certificate not yet valid: the certificate of h is valid from 2026-01-27 12:00:00 UTC, this machine's clock says 1976-02-26 12:00:00 UTC"
                        facts |> withProblems 2 [ "UntrustedRoot" ],
                        "unknown issuer: the certificate of h chains up to Root, which is not trusted here"
                        facts |> withProblems 1 [ "PartialChain" ],
                        "unknown issuer: the certificate of h chains up to Root, which is not trusted here"
                        facts |> withProblems 0 [ "Revoked" ], "certificate revoked: the certificate of h"
                        facts |> withProblems 1 [ "InvalidBasicConstraints" ],
                        "certificate refused: the certificate of Middle: one of its issuers must not sign certificates"
                        facts |> withProblems 0 [ "NotValidForUsage" ],
                        "certificate refused: the certificate of h: it is not a server certificate"
                        facts |> withProblems 1 [ "HasWeakSignature" ],
                        "certificate refused: the certificate of Middle: it is signed with SHA-1 or an older hash"
                        facts |> withProblems 0 [ "HasWeakKey" ],
                        "certificate refused: the certificate of h: its RSA key has fewer than 2048 bits"
                        facts |> withProblems 0 [ "SomethingNew" ], "certificate refused: the certificate of h: SomethingNew"
                        { facts with
                            IsForHost = false
                            Names = [||]
                        },
                        "wrong host name: the certificate has no subject alternative name, so it is not for h.example (a common name does not count)"
                        { facts with
                            Host = "127.0.0.1"
                            IsForHost = false
                            Names = [| "localhost"; "127.0.0.1" |]
                        },
                        "wrong host name: the certificate is for the name 127.0.0.1, not for the address, which counts only as an IP address among the subject alternative names"
                        { facts with
                            IsForHost = false
                            Names = [| for n in 1..7 -> $"{n}.example" |]
                        },
                        "wrong host name: the certificate is for 1.example, 2.example, 3.example, 4.example, 5.example and 2 more, not for h.example"
                        facts, "certificate refused: the certificate of h: it is not accepted"
                        { facts with Chain = [||] }, "handshake: the server shows no certificate, or its chain cannot be built"
                    ] do
                    Expect.equal (said facts) [ expected ] expected

            testCase "weak keys and signatures are known, and an anchor's signature says nothing"
            <| fun () ->
                let weak = [| "HasWeakSignature" |]

                for isAnchor, signature, bits, expected in
                    [
                        // sha256WithRSAEncryption, ecdsa-with-SHA256, Ed25519, SHA-256 of RSASSA-PSS.
                        false, "1.2.840.113549.1.1.11", 2048, [||]
                        false, "1.2.840.113549.1.1.11", 2047, [| "HasWeakKey" |]
                        false, "1.2.840.10045.4.3.2", 0, [||]
                        false, "1.3.101.112", 0, [||]
                        false, "2.16.840.1.101.3.4.2.1", 4096, [||]
                        // sha1WithRSAEncryption, md5WithRSAEncryption, ecdsa-with-SHA1, SHA-1 of RSASSA-PSS.
                        false, "1.2.840.113549.1.1.5", 2048, weak
                        false, "1.2.840.113549.1.1.4", 2048, weak
                        false, "1.2.840.10045.4.1", 0, weak
                        false, "1.3.14.3.2.26", 2048, weak
                        true, "1.2.840.113549.1.1.5", 2048, [||]
                        true, "1.2.840.113549.1.1.5", 1024, [| "HasWeakKey" |]
                    ] do
                    Expect.equal (Tls.weaknesses isAnchor signature bits) expected $"{isAnchor} {signature} {bits}"

            testCase "of several faults each kind is told once, the name before the date before the issuer"
            <| fun () ->
                let facts =
                    { facts with
                        IsForHost = false
                        Now = noon.AddDays 31.0
                    }
                    |> withProblems 0 [ "NotSignatureValid"; "NotTimeValid" ]
                    |> withProblems 1 [ "NotTimeValid" ]
                    |> withProblems 2 [ "NotTimeValid"; "UntrustedRoot" ]

                Expect.equal
                    (said facts |> List.map (fun text -> text.Split(':')[0]))
                    [
                        "wrong host name"
                        "certificate expired"
                        "unknown issuer"
                        "certificate refused"
                    ]
                    "four kinds"

            testCase "what OpenSSL's words mean"
            <| fun () ->
                let openSsl reason =
                    $"error:0A000410:SSL routines::{reason}"

                for words, expected in
                    [
                        openSsl "wrong version number", TlsFault.NotTls
                        "Cannot determine the frame size or a corrupted frame was received.", TlsFault.NotTls
                        openSsl "tlsv13 alert certificate required", TlsFault.ClientCertificateWanted
                        openSsl "sslv3 alert bad certificate", TlsFault.ClientCertificateRefused "sslv3 alert bad certificate"
                        openSsl "tlsv1 alert unknown ca", TlsFault.ClientCertificateRefused "tlsv1 alert unknown ca"
                        openSsl "tlsv1 alert protocol version", TlsFault.Handshake "the server offers no TLS version that is accepted here"
                        openSsl "ssl/tls alert handshake failure",
                        TlsFault.Handshake "the server rejects it; it may require other ciphers or a client certificate"
                        openSsl "dh key too small", TlsFault.Handshake "dh key too small"
                        "", TlsFault.Handshake "it was aborted"
                    ] do
                    Expect.equal (Tls.ofHandshake words) expected words
        ]

let private retryAfterTests =
    let delay header = Delivery.retryDelay noon "" header

    testList
        "Retry-After"
        [
            testCase "seconds, at most ten minutes"
            <| fun () ->
                for header, expected in
                    [
                        "1", 1.0
                        "0", 0.0
                        "120", 120.0
                        "600", 600.0
                        "601", 600.0
                        "86400", 600.0
                        String('9', 400), 600.0
                    ] do
                    Expect.equal (delay header) (ValueSome(seconds expected)) header

            testCase "a date, counted from now, at most ten minutes"
            <| fun () ->
                for header, expected in
                    [
                        "Thu, 26 Feb 2026 12:00:30 GMT", 30.0
                        "Thu, 26 Feb 2026 12:10:00 GMT", 600.0
                        "Thu, 26 Feb 2026 13:00:00 GMT", 600.0
                        "Fri, 26 Feb 2027 12:00:00 GMT", 600.0
                        // The other two forms that a recipient must accept (RFC 9110, 5.6.7).
                        "Thursday, 26-Feb-26 12:00:30 GMT", 30.0
                        "Thu Feb 26 12:00:30 2026", 30.0
                        // The day of the week says nothing that the date does not.
                        "Mon, 26 Feb 2026 12:00:30 GMT", 30.0
                    ] do
                    Expect.equal (delay header) (ValueSome(seconds expected)) header

            testCase "a date counts from the answer's own Date, whatever this machine's clock says"
            <| fun () ->
                for date, expected in
                    [
                        "Thu, 26 Feb 2026 11:00:00 GMT", 30.0
                        "Thu Feb 26 11:00:00 2026", 30.0
                        "Thursday, 26-Feb-26 10:59:00 GMT", 90.0
                    ] do
                    Expect.equal (Delivery.retryDelay noon date "Thu, 26 Feb 2026 11:00:30 GMT") (ValueSome(seconds expected)) date

                Expect.equal
                    (Delivery.retryDelay noon "no date" "Thu, 26 Feb 2026 12:00:30 GMT")
                    (ValueSome(seconds 30.0))
                    "an unreadable Date is none"

            testCase "a year of two digits is at most 50 years ahead"
            <| fun () ->
                let yearOf text =
                    Delivery.httpDate noon text |> ValueOption.map (fun date -> date.Year)

                Expect.equal (yearOf "Sunday, 06-Nov-75 08:49:37 GMT") (ValueSome 2075) "49 years"
                Expect.equal (yearOf "Sunday, 06-Nov-76 08:49:37 GMT") (ValueSome 2076) "50 years"
                Expect.equal (yearOf "Sunday, 06-Nov-77 08:49:37 GMT") (ValueSome 1977) "51 years"

            testCase "what is absent, garbled or past says nothing"
            <| fun () ->
                for header in
                    [
                        ""
                        " "
                        "soon"
                        "-1"
                        "1.5"
                        "1e3"
                        "+5"
                        "0x10"
                        "NaN"
                        "Infinity"
                        "5 s"
                        "Thu, 26 Feb 2026 11:59:59 GMT"
                        "Thu, 01 Jan 1970 00:00:00 GMT"
                        "2026-02-26T12:00:30Z"
                    ] do
                    Expect.equal (delay header) ValueNone header
        ]

let private backOffTests =
    testList
        "back-off"
        [
            testCase "from one interval, doubled, up to a minute"
            <| fun () ->
                for interval, failures, expected in
                    [
                        2.0, 1, 2.0
                        2.0, 2, 4.0
                        2.0, 3, 8.0
                        2.0, 4, 16.0
                        2.0, 5, 32.0
                        2.0, 6, 60.0
                        2.0, 7, 60.0
                        2.0, 1000000, 60.0
                        2.0, Int32.MaxValue, 60.0
                        0.5, 1, 0.5
                        0.5, 7, 32.0
                        0.5, 8, 60.0
                        300.0, 1, 60.0
                        86400.0, 40, 60.0
                    ] do
                    Expect.equal (Delivery.backOff (seconds interval) failures 1.0) (seconds expected) $"{interval} s, {failures}"

            testCase "times a random number in 0-1"
            <| fun () ->
                Expect.equal (Delivery.backOff (seconds 2.0) 3 0.5) (seconds 4.0) "half"
                Expect.equal (Delivery.backOff (seconds 2.0) 3 0.0) TimeSpan.Zero "none"
                Expect.equal (Delivery.backOff (seconds 2.0) 3 7.0) (seconds 8.0) "never more than all"
                Expect.equal (Delivery.backOff (seconds 2.0) 3 -1.0) TimeSpan.Zero "never less than none"
        ]

/// Follows a chain of outcomes and tells each step.
let private stepsFrom (state: DeliveryState) (outcomes: Outcome list) : DeliveryStep list * DeliveryState =
    outcomes
    |> List.mapFold
        (fun state outcome ->
            let struct (next, step) = Delivery.decide (seconds 2.0) 1.0 state outcome
            step, next)
        state

let private steps (outcomes: Outcome list) : DeliveryStep list = fst (stepsFrom Delivery.start outcomes)

let private wait (length: float) = DeliveryStep.Wait(seconds length)

let private decisionTests =
    let delivered = Outcome.Delivered Delivery.noReceipt
    let hold = Outcome.Hold "HTTP 401"
    let ask = DeliveryStep.AskNewest
    let aside = DeliveryStep.SetAside

    testList
        "decisions"
        [
            testCase "a delivery goes on and forgets the failures before"
            <| fun () ->
                Expect.equal
                    (steps [ delivered; later "x"; later "x"; later "x"; delivered; later "x" ])
                    [ DeliveryStep.Next; wait 2.0; wait 4.0; wait 8.0; DeliveryStep.Next; wait 2.0 ]
                    "2, 4, 8, then 2 again"

            testCase "a delay that the server asked for is kept to, and counts as a failure"
            <| fun () ->
                Expect.equal
                    (steps [ Outcome.RetryAfter(ValueSome(seconds 7.0), "x"); later "x" ])
                    [ wait 7.0; wait 4.0 ]
                    "7, then the second back-off"

            testCase "a hold probes every 30 s and restarts the back-off"
            <| fun () ->
                Expect.equal
                    (steps [ later "x"; later "x"; hold; hold; later "x" ])
                    [ wait 2.0; wait 4.0; wait 30.0; wait 30.0; wait 2.0 ]
                    ""

            testCase "two refusals are put aside, the third for the same reason asks whether the newest is taken"
            <| fun () ->
                let refusal = Outcome.Reject "HTTP 400: bad"
                Expect.equal (steps [ refusal; refusal; refusal ]) [ aside; aside; ask ] "third"

                Expect.equal
                    (steps [ refusal; refusal; refusal; refusal; refusal ])
                    [ aside; aside; ask; ask; ask ]
                    "and so does each after it"

                Expect.equal
                    (steps [ refusal; refusal; refusal; delivered; refusal; refusal; refusal ])
                    [ aside; aside; ask; DeliveryStep.Next; aside; aside; ask ]
                    "a delivery forgets them"

            testCase "where the newest is not taken either, all are kept and tried again"
            <| fun () ->
                let refused =
                    { Delivery.start with
                        Refusals = 2
                        Refusal = "bad"
                    }

                for outcome, delay in
                    [
                        Outcome.Reject "HTTP 400: bad", 30.0
                        Outcome.Hold "HTTP 401", 30.0
                        later "x", 30.0
                        Outcome.RetryAfter(ValueSome(seconds 29.0), "x"), 30.0
                        Outcome.RetryAfter(ValueSome(seconds 31.0), "x"), 31.0
                    ] do
                    let struct (state, step) = Delivery.ofNewest { refused with Trusted = 1 } outcome
                    Expect.equal (state, step) (refused, DeliveryStep.TakeBack(seconds delay)) $"{outcome}"

            testCase "where it is taken, the refused are tried once more, and what is refused then is at fault itself"
            <| fun () ->
                let struct (state, step) =
                    Delivery.ofNewest
                        { Delivery.start with
                            Refusals = 2
                            Refusal = "HTTP 400: bad"
                        }
                        delivered

                Expect.equal step (DeliveryStep.TakeBack TimeSpan.Zero) "once more, at once"
                let refusals = List.replicate 99 (Outcome.Reject "HTTP 400: bad")
                let steps, trusting = stepsFrom state refusals
                Expect.equal steps (List.replicate 99 aside) "99 are put aside"
                let last, state = stepsFrom trusting [ Outcome.Reject "HTTP 400: bad" ]
                Expect.equal last [ ask ] "with the hundredth it is asked again"
                let struct (_, step) = Delivery.ofNewest state delivered
                Expect.equal step DeliveryStep.Settle "between two deliveries they were refused"

                for outage in [ later "x"; crash "x"; hold ] do
                    let _, state = stepsFrom trusting [ outage ]
                    Expect.equal (fst (stepsFrom state [ Outcome.Reject "HTTP 400: bad" ])) [ ask ] "after an outage: who knows"

            testCase "digits in the reason do not tell refusals apart, the status does"
            <| fun () ->
                let numbered (n: int) =
                    Outcome.Reject $"HTTP 400: sample {n} is bad"

                Expect.equal (steps [ numbered 1; numbered 22; numbered 333 ]) [ aside; aside; ask ] "digits"

                let traced (id: string) =
                    Outcome.Reject $"HTTP 400: bad request (trace {id})"

                Expect.equal (steps [ traced "d65bfda1c998"; traced "00ffa1"; traced "aaaabbbbcccc" ]) [ aside; aside; ask ] "ids"

                Expect.equal
                    (steps
                        [
                            Outcome.Reject "HTTP 400"
                            Outcome.Reject "HTTP 413"
                            Outcome.Reject "HTTP 422"
                            Outcome.Reject "HTTP 400"
                        ])
                    [ aside; aside; aside; aside ]
                    "status"

            testCase "another reason begins to count anew"
            <| fun () ->
                let a, b = Outcome.Reject "HTTP 400: a", Outcome.Reject "HTTP 400: b"
                Expect.equal (steps [ a; a; b; a; a; a ]) [ aside; aside; aside; aside; aside; ask ] "a b a a a"

            testCase "one sample at which the webapp fails again and again is put aside where the newest is taken each time"
            <| fun () ->
                let crash = Outcome.Crash(ValueNone, "HTTP 500")
                let steps, asking = stepsFrom Delivery.start (List.replicate 6 crash)
                Expect.equal steps [ wait 2.0; wait 4.0; wait 8.0; wait 16.0; wait 32.0; ask ] "after a minute"

                let mutable asking' = asking

                for _ in 1..2 do
                    let struct (state, step) = Delivery.ofNewest asking' delivered
                    Expect.equal step (wait 30.0) "the webapp may fail now and then"
                    let steps, next = stepsFrom state [ crash ]
                    Expect.equal steps [ ask ] "and is asked again"
                    asking' <- next

                let struct (state, step) = Delivery.ofNewest asking' delivered
                Expect.equal (state, step) (Delivery.start, DeliveryStep.Settle) "it alone: the next has six attempts too"

                for other in [ crash; later "x"; hold ] do
                    let struct (state, step) = Delivery.ofNewest asking other
                    Expect.equal step (wait 60.0) "the webapp fails at all"
                    let steps, next = stepsFrom state [ crash ]
                    Expect.equal (steps, next.Crashes) ([ ask ], 6) "and is asked again, from the beginning"

                for between in [ later "x"; hold ] do
                    let steps, _ = stepsFrom Delivery.start (List.replicate 5 crash @ [ between ] @ List.replicate 5 crash)
                    Expect.isFalse (List.contains ask steps) "five, and five, are not six"

            testCase "a refusal restarts the back-off"
            <| fun () ->
                Expect.equal
                    (steps [ later "x"; later "x"; Outcome.Reject "HTTP 400"; later "x" ])
                    [ wait 2.0; wait 4.0; aside; wait 2.0 ]
                    ""
        ]

let private lineTests =
    let line body =
        match outcomeOf 200 body with
        | Outcome.Delivered receipt -> Delivery.receiptLine receipt
        | other -> failtest $"expected a delivery, got {other}"

    testList
        "the line after a success"
        [
            testCase "as docs/ingest-api.md has it"
            <| fun () ->
                Expect.equal
                    (line stored)
                    "2026-02-26T02:37:49.120000+00:00 | cpu=12.50 gpu=97 disk=- bottleneck=gpu-bound"
                    "numbers in the webapp's spelling, null as -"

            testCase "missing and null values print a dash"
            <| fun () ->
                Expect.equal (line """{"ok": true}""") "- | cpu=- gpu=- disk=- bottleneck=-" "no snapshot"

                Expect.equal
                    (line
                        """{"ok": true, "snapshot": {"collected_at": null, "bottleneck": null, "cpu_usage_percent": 0,
                            "disk_util_percent": "3.1", "top_gpu_util_percent": true}}""")
                    "- | cpu=0 gpu=- disk=3.1 bottleneck=-"
                    "0 is a value"

            testCase "a line stays one line, and plain"
            <| fun () ->
                Expect.equal
                    (line """{"ok": true, "snapshot": {"bottleneck": "a\nb\u001b[31m"}}""")
                    "- | cpu=- gpu=- disk=- bottleneck=a\\x0ab\\x1b[31m"
                    "escaped"
        ]

[<Tests>]
let tests =
    testList
        "Delivery"
        [
            answerTests
            failureTests
            tlsTests
            retryAfterTests
            backOffTests
            decisionTests
            lineTests
        ]
