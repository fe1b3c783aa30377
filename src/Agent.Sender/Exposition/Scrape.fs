namespace Agent.Sender

open System
open System.Text
open Agent.Core

/// What a client of the metrics endpoint wants.
[<RequireQualifiedAccess; Struct>]
type ScrapePath =
    /// The metrics.
    | Metrics
    /// Whether samples are being taken.
    | Health
    /// What the GPU time of one job of a scheduler went into, as text or as JSON.
    | Job of id: string * isJson: bool
    /// An unknown path.
    | Other

/// A request that was read to its end.
[<NoComparison>]
type ScrapeRequest =
    {
        /// Bytes that it takes up.
        Length: int
        /// True when the body of the answer is not wanted.
        IsHead: bool
        /// What is wanted.
        Path: ScrapePath
        /// The format that the client prefers.
        Format: ExpositionFormat
        /// True when the client takes an answer that gzip compressed.
        TakesGzip: bool
        /// What follows `Authorization: Bearer`; empty when absent.
        Bearer: string
        /// True when the connection stays open after the answer.
        KeepsAlive: bool
    }

/// What the bytes of a connection contain so far.
[<RequireQualifiedAccess>]
type ScrapeInput =
    /// A request that has not arrived whole.
    | Incomplete
    /// A request.
    | Request of request: ScrapeRequest
    /// Not a request that can be answered; the connection ends after this status.
    | Bad of status: int * reason: string

    /// Calls the function for the case that this is.
    member input.Match(incomplete: Func<'r>, request: Func<ScrapeRequest, 'r>, bad: Func<int, string, 'r>) : 'r =
        match input with
        | Incomplete -> incomplete.Invoke()
        | Request request' -> request.Invoke request'
        | Bad(status, reason) -> bad.Invoke(status, reason)

/// The HTTP of the metrics endpoint (RFC 9112), as far as scrapers use it: GET and HEAD without a body, one after the other
/// on a connection.
[<RequireQualifiedAccess>]
module Scrape =
    /// A request is this long at most; Prometheus's own are some 300 bytes.
    [<Literal>]
    let LongestRequest = 8192

    let private nameOfStatus status =
        match status with
        | 200 -> "OK"
        | 400 -> "Bad Request"
        | 401 -> "Unauthorized"
        | 404 -> "Not Found"
        | 405 -> "Method Not Allowed"
        | 431 -> "Request Header Fields Too Large"
        | 503 -> "Service Unavailable"
        | 505 -> "HTTP Version Not Supported"
        | _ -> "Error"

    /// The answer to a request without the bearer token.
    [<Literal>]
    let Refused = "the bearer token is missing or wrong"

    /// The answer to an unknown path.
    [<Literal>]
    let Directory =
        "metrics are at /metrics, and /healthz says whether samples are being taken; /jobs/ID has the GPU time of a job of Slurm"

    /// The path that no agent has: asked for by `--doctor`, to see who listens.
    [<Literal>]
    let UnknownPath = "/"

    /// True for an agent's answer to a request for the unknown path, with the right token or without.
    [<CompiledName "IsAgents">]
    let isAgents (answer: string) : bool =
        match answer.IndexOf("\r\n\r\n", StringComparison.Ordinal) with
        | -1 -> false
        | head ->
            let body = answer.Substring(head + 4).TrimEnd '\n'
            body = Refused || body = Directory

    /// What the path of a job begins with; its id follows.
    [<Literal>]
    let private jobs = "/jobs/"

    /// What follows the id where JSON is wanted.
    [<Literal>]
    let private asJson = ".json"

    /// The path that says whether samples are taken.
    [<Literal>]
    let HealthPath = "/healthz"

    /// The path of a job's report.
    [<CompiledName "JobPath">]
    let jobPath (id: string) (isJson: bool) : string =
        jobs + id + (if isJson then asJson else "")

    /// What follows the host in a request's target, which clients may send as a whole URL (RFC 9112, section 3.2.2).
    let private originForm (target: string) =
        match target.IndexOf("://", StringComparison.Ordinal) with
        | scheme when scheme > 0 && not (target.StartsWith '/') ->
            match target.IndexOfAny([| '/'; '?'; '#' |], scheme + 3) with
            | -1 -> "/"
            | path -> target.Substring path
        | _ -> target

    let private pathOf (target: string) =
        // Whatever stands behind it is the client's own business; Prometheus passes `params` on.
        match (originForm target).Split([| '?'; '#' |], 2)[0] with
        | "/metrics" -> ScrapePath.Metrics
        | HealthPath -> ScrapePath.Health
        | path when path.StartsWith(jobs, StringComparison.Ordinal) ->
            let id = path.Substring jobs.Length
            let isJson = id.EndsWith(asJson, StringComparison.Ordinal)

            let id =
                if isJson then
                    id.Substring(0, id.Length - asJson.Length)
                else
                    id

            if JobTotals.isId id then
                ScrapePath.Job(id, isJson)
            else
                ScrapePath.Other
        | _ -> ScrapePath.Other

    let private header (name: string) (lines: string[]) : string =
        lines
        |> Array.choose (fun line ->
            match line.IndexOf ':' with
            | colon when
                colon > 0
                && line.AsSpan(0, colon).Equals(name, StringComparison.OrdinalIgnoreCase)
                ->
                Some(line.Substring(colon + 1).Trim())
            | _ -> None)
        |> String.concat ", "

    let private bearerOf (authorization: string) =
        if authorization.StartsWith("Bearer ", StringComparison.OrdinalIgnoreCase) then
            authorization.Substring("Bearer ".Length).Trim()
        else
            ""

    let private requestOf (length: int) (head: string) : ScrapeInput =
        let lines = head.Split '\n' |> Array.map _.TrimEnd('\r')
        let headers = Array.skip 1 lines

        let hasToken (name: string) (token: string) =
            (header name headers).Split(',', StringSplitOptions.TrimEntries)
            |> Array.exists (fun word -> word.Equals(token, StringComparison.OrdinalIgnoreCase))

        match lines[0].Split ' ' with
        | [| _; _; version |] when version <> "HTTP/1.1" && version <> "HTTP/1.0" ->
            ScrapeInput.Bad(
                (if version.StartsWith("HTTP/", StringComparison.Ordinal) then
                     505
                 else
                     400),
                "only HTTP/1.1 and HTTP/1.0 are supported"
            )
        | [| "GET" | "HEAD" as verb; target; version |] ->
            let length' = header "Content-Length" headers

            // What follows a request with a body could not be told from the body.
            if (length' <> "" && length' <> "0") || header "Transfer-Encoding" headers <> "" then
                ScrapeInput.Bad(400, "a request for metrics must not have a body")
            else
                ScrapeInput.Request
                    {
                        Length = length
                        IsHead = (verb = "HEAD")
                        Path = pathOf target
                        Format = Exposition.formatFor (header "Accept" headers)
                        TakesGzip = Exposition.takesGzip (header "Accept-Encoding" headers)
                        Bearer = bearerOf (header "Authorization" headers)
                        KeepsAlive =
                            if version = "HTTP/1.1" then
                                not (hasToken "Connection" "close")
                            else
                                hasToken "Connection" "keep-alive"
                    }
        | [| _; _; _ |] -> ScrapeInput.Bad(405, "only GET and HEAD are allowed")
        | _ -> ScrapeInput.Bad(400, "this is not an HTTP request")

    /// Makes sense of what has arrived on a connection since its last request.
    [<CompiledName "Read">]
    let read (received: ReadOnlySpan<byte>) : ScrapeInput =
        match AnswerHead.lengthIn received with
        | -1 when received.Length >= LongestRequest -> ScrapeInput.Bad(431, "the request is too long")
        | -1 -> ScrapeInput.Incomplete
        // One byte a character, so that nothing a client sends is no text.
        // Empty lines before a request are ignored, and a carriage return may be missing (RFC 9112, section 2.2).
        | length -> requestOf length ((Encoding.Latin1.GetString(received.Slice(0, length))).Trim([| '\r'; '\n' |]))

    /// True when the client sends the token. How long that takes does not reveal how much of it is right.
    [<CompiledName "IsAllowed">]
    let isAllowed (token: Secret) (bearer: string) : bool =
        let wanted = token.Reveal()
        let mutable difference = wanted.Length ^^^ bearer.Length

        for i in 0 .. bearer.Length - 1 do
            difference <- difference ||| (int bearer[i] ^^^ int wanted[i % wanted.Length])

        difference = 0

    /// The head of an answer.
    [<CompiledName "Head">]
    let head (status: int) (contentType: string) (isGzip: bool) (length: int) (keepsAlive: bool) : byte[] =
        let encoding = if isGzip then "Content-Encoding: gzip\r\n" else ""

        let extra =
            match status with
            | 401 -> "WWW-Authenticate: Bearer\r\n"
            | 405 -> "Allow: GET, HEAD\r\n"
            | _ -> ""

        let connection = if keepsAlive then "keep-alive" else "close"

        Encoding.ASCII.GetBytes(
            $"HTTP/1.1 {status} {nameOfStatus status}\r\nContent-Type: {contentType}\r\nContent-Length: {length}\r\n"
            + $"{encoding}{extra}Cache-Control: no-store\r\nConnection: {connection}\r\n\r\n"
        )

    /// True while samples are being taken: the newest is younger than three intervals and five seconds.
    [<CompiledName "IsHealthy">]
    let isHealthy (interval: TimeSpan) (age: TimeSpan) : bool =
        age <= interval * 3.0 + TimeSpan.FromSeconds 5.0
