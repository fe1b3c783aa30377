/// Posting the scripted fleet: a day of history first, then a sample each two seconds.
module Demo.Replay

open System
open System.Diagnostics
open System.Net.Http
open System.Net.Http.Headers
open System.Threading
open System.Threading.Tasks

/// A machine of the fleet and its token.
type Member = Fleet.Machine * string

/// Posts one sample; the status that came back, or 0 where nothing did.
let private post (http: HttpClient) (address: string) (machine: Fleet.Machine, token: string) (body: byte[]) =
    task {
        let url = $"%s{address}/api/ingest/servers/%s{machine.Slug}/metrics/"
        use request = new HttpRequestMessage(HttpMethod.Post, url)
        request.Headers.Add("X-Monitoring-Token", token)
        let content = new ByteArrayContent(body)
        content.Headers.ContentType <- MediaTypeHeaderValue "application/json"
        request.Content <- content

        try
            use! response = http.SendAsync request
            return int response.StatusCode
        with :? HttpRequestException ->
            return 0
    }

let private unixNow () =
    float (DateTimeOffset.UtcNow.ToUnixTimeMilliseconds()) / 1000.0

/// Posts a history for each machine, oldest first, the machines side by side: how many samples, and the seconds it took.
/// `moments` are seconds before now, and the distance to the sample before. Stops early when told to.
let backFill
    (http: HttpClient)
    (address: string)
    (moments: (float * float) list)
    (members: Member list)
    (stopped: CancellationToken)
    : int * float =
    let now = unixNow ()
    let watch = Stopwatch.StartNew()
    let mutable count = 0

    let fill (one: Member) : Task =
        task {
            let machine, _ = one

            for ago, step in moments do
                if not stopped.IsCancellationRequested then
                    let! status = post http address one (Fleet.body machine now (now - ago) step)

                    if status <> 200 then
                        failwith $"The sample of %s{machine.Slug} from %.0f{ago} s ago was answered %d{status}."

                    Interlocked.Increment &count |> ignore
        }

    Task.WaitAll(members |> List.map fill |> Array.ofList)
    count, watch.Elapsed.TotalSeconds

/// Keeps the machines going until told to stop. A sample that does not arrive is not sent again: it is a script.
let play (http: HttpClient) (address: string) (members: Member list) (stopped: CancellationToken) : Task =
    task {
        use timer = new PeriodicTimer(TimeSpan.FromSeconds 2.0)

        try
            while not stopped.IsCancellationRequested do
                let! _ = timer.WaitForNextTickAsync stopped
                let now = unixNow ()

                for one in members do
                    let! _ = post http address one (Fleet.body (fst one) now now 2.0)
                    ()
        with :? OperationCanceledException ->
            ()
    }
