/// What widely used dashboards ask for, asked of a real Prometheus that has scraped the agent.
module Agent.EndToEnd.Tests.DashboardTests

open System
open System.Diagnostics
open System.IO
open System.Text.RegularExpressions
open Agent.Build
open Agent.TestSupport
open Agent.TestSupport.Waiting
open Agent.TestSupport.ProgramProcess
open Agent.TestSupport.AgentProcess
open Agent.EndToEnd.Tests.MetricsAgent
open Agent.TestSupport.Prometheus
open Agent.TestSupport.Gpu.NvmlStub
open Expecto

/// Expressions as Node Exporter Full (grafana.com dashboard 1860) has them, variables filled in.
let private nodeExporterFull =
    [
        "(sum by(instance) (irate(node_cpu_seconds_total{instance=\"agent\", mode!=\"idle\"}[1m])) / on(instance) group_left sum by (instance)((irate(node_cpu_seconds_total{instance=\"agent\"}[1m])))) * 100"
        "sum(irate(node_cpu_seconds_total{instance=\"agent\", mode=\"iowait\"}[1m])) / scalar(count(count(node_cpu_seconds_total{instance=\"agent\"}) by (cpu)))"
        "sum by(instance) (irate(node_cpu_guest_seconds_total{instance=\"agent\", mode=\"user\"}[1m]))"
        "scalar(node_load1{instance=\"agent\"}) * 100 / count(count(node_cpu_seconds_total{instance=\"agent\"}) by (cpu))"
        "node_load5{instance=\"agent\"}"
        "((node_memory_MemTotal_bytes{instance=\"agent\"} - node_memory_MemFree_bytes{instance=\"agent\"}) / (node_memory_MemTotal_bytes{instance=\"agent\"})) * 100"
        "100 - ((node_memory_MemAvailable_bytes{instance=\"agent\"} * 100) / node_memory_MemTotal_bytes{instance=\"agent\"})"
        "node_memory_MemTotal_bytes - node_memory_MemFree_bytes - (node_memory_Cached_bytes + node_memory_Buffers_bytes + node_memory_SReclaimable_bytes)"
        "node_memory_SwapTotal_bytes{instance=\"agent\"} - node_memory_SwapFree_bytes{instance=\"agent\"}"
        "node_memory_Slab_bytes{instance=\"agent\"} + node_memory_PageTables_bytes + node_memory_SwapCached_bytes"
        "node_memory_Committed_AS_bytes{instance=\"agent\"} / node_memory_CommitLimit_bytes"
        "100 - ((node_filesystem_avail_bytes{instance=\"agent\",mountpoint=\"/\",fstype!=\"rootfs\"} * 100) / node_filesystem_size_bytes{instance=\"agent\",mountpoint=\"/\",fstype!=\"rootfs\"})"
        "node_filesystem_size_bytes{instance=\"agent\",device!~'rootfs'} - node_filesystem_free_bytes{instance=\"agent\",device!~'rootfs'}"
        "count(count(node_cpu_seconds_total{instance=\"agent\"}) by (cpu))"
        "node_time_seconds{instance=\"agent\"} - node_boot_time_seconds{instance=\"agent\"}"
        "irate(node_network_receive_bytes_total{instance=\"agent\"}[1m])*8"
        "irate(node_network_transmit_bytes_total{instance=\"agent\"}[1m])*8"
        "irate(node_network_receive_drop_total{instance=\"agent\"}[1m])"
        "irate(node_disk_reads_completed_total{instance=\"agent\",device=~\"[a-z]+|nvme[0-9]+n[0-9]+|mmcblk[0-9]+\"}[1m])"
        "irate(node_disk_read_bytes_total{instance=\"agent\",device=~\"[a-z]+|nvme[0-9]+n[0-9]+|mmcblk[0-9]+\"}[1m])"
        "irate(node_disk_io_time_seconds_total{instance=\"agent\",device=~\"[a-z]+|nvme[0-9]+n[0-9]+|mmcblk[0-9]+\"}[1m])"
        "irate(node_disk_write_time_seconds_total{instance=\"agent\"}[1m]) / irate(node_disk_writes_completed_total{instance=\"agent\"}[1m])"
        "irate(node_disk_io_time_weighted_seconds_total{instance=\"agent\"}[1m])"
        "irate(node_disk_reads_merged_total{instance=\"agent\"}[1m])"
        "node_disk_io_now{instance=\"agent\"}"
        "irate(node_context_switches_total{instance=\"agent\"}[1m])"
        "irate(node_intr_total{instance=\"agent\"}[1m])"
        "irate(node_forks_total{instance=\"agent\"}[1m])"
        "node_procs_running{instance=\"agent\"} + node_procs_blocked{instance=\"agent\"}"
        "rate(node_pressure_io_waiting_seconds_total{instance=\"agent\"}[1m])"
        "node_hwmon_temp_celsius{instance=\"agent\"} * on(chip) group_left(chip_name) node_hwmon_chip_names{instance=\"agent\"}"
        "node_uname_info{instance=\"agent\"}"
    ]

/// Those of NVIDIA DCGM Exporter Dashboard (12239), but for those of the clocks, which not every nvidia-smi tells, and of DCGM's profiling.
let private dcgm =
    [
        "DCGM_FI_DEV_GPU_TEMP{instance=~\"agent\", gpu=~\"0|1|2\"}"
        "avg(DCGM_FI_DEV_GPU_TEMP{instance=~\"agent\", gpu=~\"0|1|2\"})"
        "DCGM_FI_DEV_POWER_USAGE{instance=~\"agent\", gpu=~\"0|1|2\"}"
        "sum(DCGM_FI_DEV_POWER_USAGE{instance=~\"agent\", gpu=~\"0|1|2\"})"
        "DCGM_FI_DEV_GPU_UTIL{instance=~\"agent\", gpu=~\"0|1|2\"}"
        "DCGM_FI_DEV_FB_USED{instance=~\"agent\", gpu=~\"0|1|2\"}"
    ]

/// nvidia-smi of a machine with one GPU that tells its clocks.
let private answer =
    "index, name, uuid, utilization.gpu [%], utilization.memory [%], memory.total [MiB], memory.used [MiB], temperature.gpu, "
    + "fan.speed [%], power.draw [W], power.limit [W], clocks.current.sm [MHz], clocks.current.memory [MHz]\n"
    + "0, NVIDIA H100 80GB HBM3, GPU-33333333-0000-4000-8000-000000000000, 97, 45, 81559, 61440, 65, [N/A], 433.78, 700.00, 1755, 2619\n"

let private configuration (agent: string) =
    $"global:\n  scrape_interval: 1s\nscrape_configs:\n  - job_name: node\n    honor_labels: true\n    static_configs:\n      - targets: ['{agent}']\n"
    + "    relabel_configs:\n      - target_label: instance\n        replacement: agent\n"

let private addressOf (agent: AgentProcess) : string = Uri(metricsOf agent).Authority

/// A machine whose only GPU is used by this process.
let private inUse (pid: int) =
    "\n"
    + (gpuLines 0).Replace("process 4711 16452157440 python", $"process {pid} 16452157440 python")

/// The metrics that an expression names.
let private metricsIn (expression: string) =
    [
        for found in Regex.Matches(expression, @"\b(?:ai_dashboard|node|DCGM_FI)_\w+") -> found.Value
    ]
    |> List.distinct

/// What is compared with a number is not always there; what the comparison is about is.
let private uncompared (expression: string) =
    Regex.Replace(expression, @" (==|>) \d+$", "")

let tests =
    testList
        "dashboards"
        [
            testCase "every expression of the dashboards is answered by a Prometheus that scrapes the agent"
            <| fun () ->
                World.withDirectory (fun directory ->
                    // Asked for first, so that nothing is started where it is missing.
                    program "prometheus" |> ignore
                    let csv = Path.Combine(directory, "answer.csv")
                    File.WriteAllText(csv, answer)
                    let path = withProgram directory "nvidia-smi" $"cat {csv}"
                    // This machine's own /sys may have no sensors.
                    let sysfs = Fixtures.pathOf "intel-workstation/sys"

                    use agent =
                        startWith [ path; "AI_DASHBOARD_TOKEN", "" ] [ "--listen=127.0.0.1:0"; "--interval=0.5"; $"--sysfs={sysfs}" ]

                    use prometheus = new Prometheus(directory, freePort (), configuration (addressOf agent), [])

                    let isScraped () =
                        not (List.isEmpty (prometheus.Query "DCGM_FI_DEV_GPU_UTIL and on() (count_over_time(node_load1[1m]) >= 3)"))

                    eventually (TimeSpan.FromSeconds 60.0) "three scrapes with a GPU" isScraped
                    Expect.equal (prometheus.Query("up == 0").Length) 0 "every scrape is good"
                    let expressions = nodeExporterFull @ dcgm
                    Expect.isGreaterThanOrEqual expressions.Length 30 "expressions"

                    let unanswered =
                        expressions
                        |> List.filter (fun expression -> List.isEmpty (prometheus.Query expression))

                    Expect.equal unanswered [] "unanswered"
                    let state = prometheus.Query "ai_dashboard_bottleneck == 1"
                    Expect.equal state.Length 1 "one bottleneck")

            testCase "every expression of our own dashboards for Grafana is answered, where the agent has its metrics"
            <| fun () ->
                World.withDirectory (fun directory ->
                    program "prometheus" |> ignore
                    use trainer = Process.Start(program "sleep", [ "600" ])

                    try
                        withMachine (inUse trainer.Id) (fun stub ->
                            use agent =
                                startWith
                                    [ "AI_DASHBOARD_TOKEN", ""; "AI_DASHBOARD_TEST_TIME_SCALE", "10" ]
                                    [
                                        "--listen=127.0.0.1:0"
                                        "--interval=5"
                                        "--cpu-sample-interval=0"
                                        "--gpu-source=nvml"
                                        $"--nvml-library={stub.Library}"
                                        "--sysfs=" + Fixtures.pathOf "intel-workstation/sys"
                                    ]

                            use prometheus = new Prometheus(directory, freePort (), configuration (addressOf agent), [])

                            let isThere (expression: string) =
                                not (List.isEmpty (prometheus.Query expression))

                            eventually (TimeSpan.FromSeconds 60.0) $"a job that used time; {agent.Said}" (fun () ->
                                isThere "sum(rate(ai_dashboard_job_gpu_seconds_total[1m])) > 0")

                            let known, unknown =
                                GrafanaBoards.expressions
                                |> List.partition (fun (_, expression) -> metricsIn expression |> List.forall isThere)

                            let unanswered =
                                known
                                |> List.filter (fun (_, expression) -> not (isThere (uncompared expression)))

                            Expect.equal unanswered [] "unanswered"
                            let names = unknown |> List.map fst
                            // This machine's loaders, fans and throttling, if anything.
                            Expect.isGreaterThan
                                known.Length
                                (GrafanaBoards.expressions.Length * 4 / 5)
                                $"most have their metrics; %A{names}")
                    finally
                        trainer.Kill()
                        trainer.WaitForExit())
        ]
