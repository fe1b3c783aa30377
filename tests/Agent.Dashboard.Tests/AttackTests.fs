/// What somebody with one valid token, or none, can do to everybody else: nothing much. Each attack is tried on a dashboard of its own, on
/// loopback, while a bystander posts and asks for /healthz.
module Agent.Dashboard.Tests.AttackTests

open System
open System.Diagnostics
open System.IO
open System.IO.Compression
open System.Net
open System.Net.Sockets
open System.Threading
open System.Threading.Tasks
open Agent.TestSupport.Waiting
open Agent.Dashboard.Tests.Bodies
open Agent.Dashboard.Tests.Bystander
open Agent.TestSupport.DashboardProcess
open Agent.TestSupport.RawHttp
open Expecto

let private withDashboard (options: string list) (test: Dashboard -> unit) : unit =
    use place = new TemporaryDirectory()
    use dashboard = new Dashboard(place.File "a.db", options)
    test dashboard

/// A sample with 256 disks, GPUs and fans of names that were never there before.
let private madeUp (at: DateTimeOffset) (number: int) : byte[] =
    let entries (write: int -> string) =
        String.Join(",", Seq.init 256 (fun index -> write (number * 256 + index)))

    let disks = entries (fun index -> $"{{\"device\":\"disk-{index}\",\"busy_time_ms_total\":1}}")

    let gpus =
        entries (fun index -> $"{{\"gpu_index\":{index},\"name\":\"made up\",\"uuid\":\"GPU-{index}\",\"temperature_c\":40}}")

    let fans = entries (fun index -> $"{{\"label\":\"fan-{index}\",\"speed_rpm\":1}}")
    utf8 $"{{\"collected_at\":\"{instant at}\",\"disks\":[{disks}],\"gpus\":[{gpus}],\"fans\":[{fans}]}}"

let private target (server: Registered) (minutes: int) =
    $"/api/metrics/history/?server={server.Slug}&minutes={minutes}"

/// A body as gzip.
let private gzip (bytes: byte[]) : byte[] =
    use packed = new MemoryStream()

    (use packing = new GZipStream(packed, CompressionLevel.SmallestSize)
     packing.Write(ReadOnlySpan bytes))

    packed.ToArray()

/// Whether the other side has closed a connection, within a while.
let private isClosed (socket: Socket) : bool =
    socket.ReceiveTimeout <- 5000

    try
        socket.Receive(Array.zeroCreate<byte> 1) = 0
    with :? SocketException as error ->
        error.SocketErrorCode <> SocketError.TimedOut
        && error.SocketErrorCode <> SocketError.WouldBlock

/// Whether the other side has closed a connection by now.
let private isOver (socket: Socket) : bool =
    socket.Poll(0, SelectMode.SelectRead) && isClosed socket

let private connected (port: int) : Socket =
    let socket = new Socket(SocketType.Stream, ProtocolType.Tcp, NoDelay = true)
    socket.Connect(IPAddress.Loopback, port)
    socket

let private newNames =
    testCase "300 samples of new device names: 512 devices are known, one history is short, and the next start as well"
    <| fun () ->
        withDashboard [] (fun dashboard ->
            let villain = dashboard.Register("villain", [])
            use bystander = new Bystander(dashboard.Port, dashboard.Register("bystander", []))
            let start = DateTimeOffset.UtcNow.AddMinutes -12.0
            use conversation = new Conversation(dashboard.Port)
            let mutable warnings = 0

            for number in 0..299 do
                conversation.Send(postBytes dashboard.Port villain [] (madeUp (start.AddSeconds(2.0 * float number)) number))
                let answer = conversation.Read()
                Expect.equal answer.Status 200 answer.Text
                Expect.isLessThanOrEqual answer.Body.Length 16384 "bytes of the answer"

                if answer.Text.Contains "new devices left out" then
                    warnings <- warnings + 1

            Expect.equal warnings 300 "the first has 768 of them, and each of the others 768 more"
            let watch = Stopwatch.StartNew()

            for minutes in [ 15; 60; 20160 ] do
                let answer = get dashboard.Port (target villain minutes)
                Expect.equal answer.Status 200 answer.Text
                Expect.isLessThanOrEqual answer.Body.Length (32 <<< 20) "bytes of a history"
                let left = answer.Json.GetProperty("devices_left_out").GetInt32()

                let shown (list: string) =
                    answer.Json.GetProperty(list).GetArrayLength()

                Expect.equal (shown "disks" + shown "gpus" + shown "fans", left) (256, 256) "devices shown and left out"

            Expect.isLessThan watch.Elapsed.TotalSeconds 9.0 "seconds for three histories"

            // A hundred at once: some are refused, none waits for long, and nobody else does.
            let answers =
                [|
                    for _ in 1..100 -> Task.Run(fun () -> (get dashboard.Port (target villain 60)).Status)
                |]

            let statuses = (Task.WhenAll answers).Result |> Array.countBy id |> Array.sort
            printfn $"a hundred histories at once: %A{statuses}"
            Expect.all statuses (fun (status, _) -> status = 200 || status = 503) "statuses"
            isUnharmed "new names" (bystander.Stop())
            let _, highest = memoryOf dashboard.Process.Id
            printfn $"new names: at most {highest} MiB"
            Expect.isLessThanOrEqual highest 256 "MiB"

            dashboard.Stop()
            let watch = Stopwatch.StartNew()
            use again = new Dashboard(dashboard.Database, [])
            Expect.equal (get again.Port "/healthz").Status 200 "it serves"
            printfn $"new names: serves again after {watch.Elapsed.TotalSeconds:F1} s"
            Expect.isLessThan watch.Elapsed.TotalSeconds 6.0 "seconds to the next start"
            Expect.equal (get again.Port (target villain 60)).Status 200 "and gives the history"
            let _, highest = memoryOf again.Process.Id
            Expect.isLessThanOrEqual highest 256 "MiB after the start")

let private longAnswers =
    testCase "a body of a kilobyte is not answered with megabytes"
    <| fun () ->
        withDashboard [] (fun dashboard ->
            let server = dashboard.Register("villain", [])
            let reasons = String.Join(",", Seq.replicate 100_000 "\"zzzzz\"")

            for sample in
                [
                    $"\"gpus\":[{{\"gpu_index\":0,\"throttle_reasons\":[{reasons}]}}]"
                    $"\"disks\":[{reasons}]"
                    String.Join(",", Seq.replicate 60_000 "\"fans\":\"\\\"\"")
                ] do
                let text = $"{{\"collected_at\":\"{instant DateTimeOffset.UtcNow}\",{sample}}}"
                let small = gzip (utf8 text)
                Expect.isLessThan small.Length 4096 "bytes sent"

                let answer =
                    exchange dashboard.Port (postBytes dashboard.Port server [ "Content-Encoding", "gzip"; "Connection", "close" ] small)

                Expect.equal answer.Status 200 answer.Text
                let warnings = answer.Json.GetProperty("warnings").GetArrayLength()
                Expect.equal warnings 20 "warnings"
                Expect.isLessThanOrEqual answer.Body.Length 16384 "bytes of the answer")

let private slowBodies =
    testCase "eight large bodies that never end keep no other waiting, and are ended"
    <| fun () ->
        withDashboard [] (fun dashboard ->
            let villain = dashboard.Register("villain", [])
            let other = dashboard.Register("other", [])
            use bystander = new Bystander(dashboard.Port, dashboard.Register("bystander", []))
            let head = postBytes dashboard.Port villain [] (Array.zeroCreate 1_000_000)
            // All but the body.
            let head = Array.append head[.. head.Length - 1_000_001] [| byte '{' |]
            let slow = [ for _ in 1..8 -> connected dashboard.Port ]

            for socket in slow do
                socket.Send head |> ignore

            Thread.Sleep 300

            for _ in 1..3 do
                let watch = Stopwatch.StartNew()
                let large = body (sample (DateTimeOffset.UtcNow) |> set "comment" (quoted (String('x', 900_000))))
                let answer = post dashboard.Port other large
                Expect.equal answer.Status 200 answer.Text
                Expect.isLessThan watch.Elapsed.TotalSeconds 5.0 "seconds for somebody else's large body"

            // Four have room, the others are refused; the four have ten seconds and a little.
            let deadline = Stopwatch.StartNew()

            for socket in slow do
                while not (isClosed socket) && deadline.Elapsed.TotalSeconds < 30.0 do
                    ()

            printfn $"slow bodies: the last is gone after {deadline.Elapsed.TotalSeconds:F1} s"
            Expect.isLessThan deadline.Elapsed.TotalSeconds 30.0 "seconds"
            isUnharmed "slow bodies" (bystander.Stop())

            for socket in slow do
                socket.Dispose()

            let again = post dashboard.Port villain (body (sample DateTimeOffset.UtcNow))
            Expect.equal again.Status 200 "its share is free again")

let private floods =
    testCase "who sends more than his share is told when to come again, and loses nothing"
    <| fun () ->
        withDashboard [ "--server-samples"; "1" ] (fun dashboard ->
            let villain = dashboard.Register("villain", [])
            use bystander = new Bystander(dashboard.Port, dashboard.Register("bystander", []))
            let start = DateTimeOffset.UtcNow.AddHours -2.0
            use conversation = new Conversation(dashboard.Port)

            let send number =
                conversation.Send(postBytes dashboard.Port villain [] (utf8 (body (sample (start.AddSeconds(float number))))))
                conversation.Read()

            // 50 a second and 3,000 at once, where one a second is the rule.
            let mutable number = 0
            let mutable answer = send 0

            while answer.Status = 200 && number < 20_000 do
                number <- number + 1
                answer <- send number

            Expect.equal answer.Status 429 "the limit"
            Expect.isGreaterThanOrEqual number 3000 "samples at once"
            Expect.equal (answer.Header "retry-after") (Some "1") "when to come again"
            Expect.stringContains answer.Text "--server-samples" "what raises it"
            Thread.Sleep 1100
            Expect.equal (send number).Status 200 "the same sample, later"
            isUnharmed $"a flood of {number} samples" (bystander.Stop()))

let private connections =
    testCase "an address has no more connections than its share"
    <| fun () ->
        withDashboard [ "--address-connections"; "8" ] (fun dashboard ->
            let open' = [ for _ in 1..20 -> connected dashboard.Port ]

            let closed () =
                open' |> List.filter isOver |> List.length
            // Which of them it is nobody can say: they are taken by several threads.
            eventually patience "those above the share are closed" (fun () -> closed () >= 12)
            Thread.Sleep 500
            Expect.equal (closed ()) 12 "the share itself stays"

            for socket in open' do
                socket.Dispose()

            eventually patience "another is taken when they are gone" (fun () ->
                try
                    (get dashboard.Port "/healthz").Status = 200
                with _ ->
                    false))

let private streams =
    testCase "an address has no more streams of events than its share, and each of them gives its place back"
    <| fun () ->
        withDashboard [ "--address-streams"; "3" ] (fun dashboard ->
            let listen () =
                let conversation = new Conversation(dashboard.Port)
                conversation.Send(request "GET /api/events/ HTTP/1.1" [ "Host", "127.0.0.1" ] [||])
                conversation

            let status (conversation: Conversation) = conversation.ReadLine().Split(' ')[1]
            let listening = [ for _ in 1..3 -> listen () ]
            Expect.equal (listening |> List.map status) [ "200"; "200"; "200" ] "three"
            let fourth = get dashboard.Port "/api/events/"
            Expect.equal (fourth.Status, fourth.Header "retry-after") (503, Some "30") "a fourth"
            Expect.stringContains fourth.Text "--address-streams" "what raises it"
            (listening[0] :> IDisposable).Dispose()

            eventually patience "its place is free" (fun () ->
                use another = listen ()
                status another = "200")

            for conversation in listening do
                (conversation :> IDisposable).Dispose())

let private removed =
    testCase "the layouts of a server that is removed are deleted"
    <| fun () ->
        withDashboard [] (fun dashboard ->
            let one = dashboard.Register("one", [])
            let other = dashboard.Register("other", [])
            let at = DateTimeOffset.UtcNow
            Expect.equal (post dashboard.Port one (Text.Encoding.UTF8.GetString(madeUp at 0))).Status 200 "many devices"
            Expect.equal (post dashboard.Port other (body (sample at))).Status 200 "one disk"

            let layouts () =
                use connection = Agent.Dashboard.Store.Database.OpenForReading dashboard.Database
                Agent.Dashboard.Store.Database.Scalar(connection, "SELECT count(*) FROM layout")

            Expect.equal (layouts ()) 2L "layouts"
            let code, _, errors = run [ "remove-server"; "--yes"; "one"; "--database"; dashboard.Database ]
            Expect.equal code 0 $"%A{errors}"
            eventually patience "one of them goes" (fun () -> layouts () = 1L))

[<Tests>]
let tests =
    // One after the other: they measure how long others wait.
    testSequenced (testList "Attacks" [ newNames; longAnswers; slowBodies; floods; connections; streams; removed ])
