/// Verdicts and jobs as the dashboard answers with them, for tests that decide what a machine suffers from.
module Agent.Browser.Tests.Verdicts

open System
open System.Text.Json.Nodes
open Agent.Browser.Tests.Browser

/// JSON of a text.
let json (text: string) : JsonNode = JsonNode.Parse text |> nonNull

/// A member that is there.
let at (name: string) (node: JsonNode | null) : JsonNode = (nonNull node)[name] |> nonNull

let private instant (secondsAgo: float) =
    DateTimeOffset.UtcNow.AddSeconds(-secondsAgo).ToString "yyyy-MM-dd'T'HH:mm:ss.ffffffzzz"

/// A verdict with its severity, reason and fix, that has held for five minutes.
let verdict (label: string) (severity: string) (reason: string) (fix: string) : JsonNode =
    json
        $$"""{"label":"{{label}}","severity":"{{severity}}","second":null,"since":"{{instant 300.0}}","confidence":0.88,"reason":"{{reason}}","fix":"{{fix}}","source":"agent"}"""

/// A job that waits for its data loader, with witnesses.
let slowLoader () : JsonNode =
    json
        $$"""{"label":"loader-cpu","severity":"held-back","second":"disk-read","since":"{{instant 720.0}}","confidence":0.88,
"reason":"The 8 GPUs wait 75% of the time while its loader works at 100% of a core.",
"fix":"Set num_workers=4 (now 1; 28 cores are left); see how with py-spy top --pid 4711.","source":"agent",
"evidence":[{"name":"busiest loader thread","value":99.6,"limit":90,"unit":"%"},{"name":"GPU busy","value":25.2,"limit":85,"unit":"%"},
 {"name":"bytes of nvme0n1","value":628000000,"limit":null,"unit":"B/s"}],
"ruled_out":[{"name":"tasks that stall for memory","value":0,"limit":10,"unit":"%"}]}"""

/// A job's life as /api/jobs/ tells it.
let job (server: string) (number: int) (user: string) (name: string) (label: string) (more: string) : JsonNode =
    json
        $$"""{"job":"{{server}}.{{number}}","server":"{{server}}","id":"slurm-{{number}}","owner":{"kind":"slurm","value":"{{number}}","namespace":null,"name":null},
"user":"{{user}}","uid":1000,"name":"{{name}}","command":"python {{name}} --epochs 90","gpus":[{"gpu_index":0,"uuid":"GPU-0"},{"gpu_index":1,"uuid":"GPU-1"}],
"began":"{{instant 1800.0}}","last_seen":"{{instant 1.0}}","ended":null,"label":"{{label}}","severity":"held-back","gpu_hours":96,"wasted_gpu_hours":41,
"gpu_busy_percent":54.2,"cpu_cores_used":7.4,"memory_bytes":34359738368,"verdict_gpu_hours":{"{{label}}":41,"compute":55},"group":null{{more}} }"""

/// Lets the dashboard seem to know these paths.
let serves (page: Visit) (paths: string list) : unit =
    page.Change(
        "**/api/",
        fun root ->
            let endpoints = (at "endpoints" root).AsArray()

            for path in paths do
                endpoints.Add(JsonValue.Create path)
    )

/// Lets machines have verdicts, by slug; all others compute.
let judge (page: Visit) (of': string -> JsonNode option) : unit =
    page.Change(
        "**/api/servers/",
        fun root ->
            for server in (at "servers" root).AsArray() do
                let server = nonNull server
                let slug = (at "slug" server).GetValue<string>()

                server["verdict"] <-
                    of' slug
                    |> Option.map _.DeepClone()
                    |> Option.defaultWith (fun () -> verdict "compute" "healthy" "Its own work is the limit." "")
    )

/// Jobs of one machine, and all that the pages of jobs ask for.
let withJobs (page: Visit) (jobs: unit -> JsonNode list) : unit =
    serves
        page
        [
            "/api/jobs/?server=&minutes="
            "/api/jobs/{job}/"
            "/api/waste/?by=&minutes="
            "/api/verdicts/?server=&at="
        ]

    page.Answer(
        "**/api/jobs/?*",
        fun _ ->
            let all = JsonArray(jobs () |> List.toArray)
            json $$"""{"now":"{{instant 0.0}}","from":"{{instant 86400.0}}","to":"{{instant 0.0}}","jobs":{{all.ToJsonString()}}}"""
    )
