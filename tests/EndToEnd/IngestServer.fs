/// A real HTTP server on the loopback that plays the webapp, and keeps what it was sent.
module Agent.EndToEnd.Tests.IngestServer

open System
open System.Collections.Concurrent
open System.Diagnostics
open System.IO
open System.Net
open System.Security.Cryptography
open System.Security.Cryptography.X509Certificates
open System.Text
open System.Text.Json
open System.Threading.Tasks
open Expecto
open Microsoft.AspNetCore.Builder
open Microsoft.AspNetCore.Hosting
open Microsoft.AspNetCore.Http
open Microsoft.AspNetCore.Http.Features
open Microsoft.AspNetCore.Server.Kestrel.Core
open Microsoft.Extensions.Logging

/// One request as it came in.
type Request =
    {
        /// From 0, in the order of arrival.
        Number: int
        Method: string
        /// The request line's target, as it was sent.
        Target: string
        /// Names as they were sent, but for their case.
        Headers: (string * string) list
        Body: byte[]
        /// Differs from connection to connection.
        Connection: string
        /// Since the server started.
        At: TimeSpan
    }

    /// The header's value; a request without it fails the test.
    member request.Header(name: string) : string =
        request.Headers
        |> List.tryFind (fun (key, _) -> String.Equals(key, name, StringComparison.OrdinalIgnoreCase))
        |> function
            | Some(_, value) -> value
            | None -> failtest $"no header {name}"

    /// `collected_at` of the sample.
    member request.CollectedAt: string =
        use document = JsonDocument.Parse(ReadOnlyMemory request.Body)

        match document.RootElement.GetProperty("sample").GetProperty("collected_at").GetString() with
        | null -> failtest "collected_at is null"
        | text -> text

/// How the server answers one request.
type Reply = Request -> HttpContext -> Task

let private write (context: HttpContext) (status: int) (contentType: string) (text: string) : Task =
    task {
        context.Response.StatusCode <- status
        context.Response.ContentType <- contentType
        let bytes = Encoding.UTF8.GetBytes text
        context.Response.ContentLength <- int64 bytes.Length
        do! context.Response.Body.WriteAsync(ReadOnlyMemory bytes)
    }

/// As the webapp answers when it has stored the sample.
let stored: Reply =
    fun request context ->
        write
            context
            200
            "application/json"
            ($"""{{"ok": true, "server": {{"slug": "gpu-box-01"}}, "snapshot": {{"id": %d{request.Number}, """
             + $""""collected_at": "%s{request.CollectedAt}", "bottleneck": "idle", "cpu_usage_percent": 12.50, """
             + """"top_gpu_util_percent": null, "disk_util_percent": 3}}""")

/// The line that the agent prints after `stored`.
let receiptLine (request: Request) : string =
    $"{request.CollectedAt} | cpu=12.50 gpu=- disk=3 bottleneck=idle"

/// An error as the webapp tells it.
let refused (status: int) (error: string) : Reply =
    fun _ context -> write context status "application/json" $"""{{"ok": false, "error": "{error}"}}"""

/// A page, as a proxy or a captive portal sends it.
let page (status: int) : Reply =
    fun _ context -> write context status "text/html" "<!doctype html><title>no</title>"

/// Somewhere else.
let redirect (status: int) (location: string) : Reply =
    fun _ context ->
        context.Response.StatusCode <- status
        context.Response.Headers.Location <- location
        Task.CompletedTask

/// Another answer with a header.
let withHeader (name: string) (value: string) (reply: Reply) : Reply =
    fun request context ->
        context.Response.Headers[name] <- value
        reply request context

/// Nothing, for as long as the client waits.
let blackHole: Reply =
    fun _ context -> task { do! Task.Delay(TimeSpan.FromMinutes 1.0, context.RequestAborted) }

/// One byte of a good answer every 100 ms.
let drip: Reply =
    fun _ context ->
        task {
            context.Response.StatusCode <- 200
            context.Response.ContentType <- "application/json"
            context.Response.ContentLength <- 1000L

            for _ in 1..600 do
                do! context.Response.Body.WriteAsync(ReadOnlyMemory " "B, context.RequestAborted)
                do! context.Response.Body.FlushAsync context.RequestAborted
                do! Task.Delay(100, context.RequestAborted)
        }

/// Waits before another answer.
let after (delay: TimeSpan) (reply: Reply) : Reply =
    fun request context ->
        task {
            do! Task.Delay(delay, context.RequestAborted)
            do! reply request context
        }

/// Closes the connection instead of answering.
let hangUp: Reply =
    fun _ context ->
        context.Abort()
        Task.CompletedTask

/// The first answers in turn, the last one from then on.
let inTurn (replies: Reply list) : Reply =
    fun request context -> replies[min request.Number (replies.Length - 1)] request context

/// A certificate that nobody trusts.
let private selfSigned: Lazy<X509Certificate2> =
    lazy
        (use key = RSA.Create 2048

         let request =
             CertificateRequest("CN=localhost", key, HashAlgorithmName.SHA256, RSASignaturePadding.Pkcs1)

         let names = SubjectAlternativeNameBuilder()
         names.AddDnsName "localhost"
         names.AddIpAddress IPAddress.Loopback
         request.CertificateExtensions.Add(names.Build())
         let now = DateTimeOffset.UtcNow
         use certificate = request.CreateSelfSigned(now.AddDays -1.0, now.AddDays 1.0)
         X509CertificateLoader.LoadPkcs12(certificate.Export X509ContentType.Pfx, null))

/// A server that runs until it is disposed of; `port` 0 takes any that is free.
type IngestServer(reply: Reply, port: int, configure: ListenOptions -> unit) =
    let requests = ConcurrentQueue<Request>()
    let gate = obj ()
    let watch = Stopwatch.StartNew()
    let mutable count = 0

    let handle (context: HttpContext) : Task =
        task {
            let at = watch.Elapsed
            use body = new MemoryStream()
            do! context.Request.Body.CopyToAsync body

            let target =
                match context.Features.Get<IHttpRequestFeature>() with
                | null -> ""
                | feature -> feature.RawTarget

            let request =
                lock gate (fun () ->
                    let request =
                        {
                            Number = count
                            Method = context.Request.Method
                            Target = target
                            Headers = [ for pair in context.Request.Headers -> pair.Key, string pair.Value ]
                            Body = body.ToArray()
                            Connection = context.Connection.Id
                            At = at
                        }

                    count <- count + 1
                    requests.Enqueue request
                    request)

            try
                do! reply request context
            with
            | :? OperationCanceledException
            | :? IOException -> ()
        }

    let application =
        let builder = WebApplication.CreateSlimBuilder()
        builder.Logging.ClearProviders() |> ignore

        builder.WebHost.ConfigureKestrel(fun (options: KestrelServerOptions) ->
            options.Limits.MinResponseDataRate <- null

            options.Listen(IPAddress.Loopback, port, configure))
        |> ignore

        let application = builder.Build()
        RunExtensions.Run(application, RequestDelegate handle)
        application.StartAsync().GetAwaiter().GetResult()
        application

    /// Plain HTTP, or HTTPS with a certificate that nobody trusts.
    new(reply: Reply, port: int, https: bool) =
        new IngestServer(
            reply,
            port,
            fun listen ->
                if https then
                    listen.UseHttps selfSigned.Value |> ignore
        )

    /// Plain HTTP on any port.
    new(reply: Reply) = new IngestServer(reply, 0, false)

    /// `http://127.0.0.1:port`
    member _.Url: string = Seq.head application.Urls

    /// `127.0.0.1:port`
    member server.Authority: string = Uri(server.Url).Authority

    /// What came in so far.
    member _.Requests: Request list = List.ofSeq requests

    interface IDisposable with
        member _.Dispose() =
            // Answers that never end must not hold the test up.
            use limit = new System.Threading.CancellationTokenSource(TimeSpan.FromMilliseconds 100.0)

            try
                application.StopAsync(limit.Token).GetAwaiter().GetResult()
            with :? OperationCanceledException ->
                ()

            (application :> IDisposable).Dispose()
