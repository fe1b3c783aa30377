module Agent.Host.Tests.CollectorFilesTests

open System
open System.IO
open System.Text
open Agent.Core
open Agent.Sender
open Agent.Host.Reading
open Agent.Shell
open Agent.TestSupport
open Agent.TestSupport.CommandLine
open Agent.TestSupport.Fixtures
open Expecto

let private read (words: string list) : CollectorReading[] =
    CollectorFiles(settingsOf ("--listen=127.0.0.1:9835" :: words) [], CollectorPace(16, TimeSpan.Zero), AgentClock()).Read()

let private ofFixture =
    [
        $"""--procfs={pathOf "collectors/proc"}"""
        $"""--sysfs={pathOf "collectors/sys"}"""
    ]

let private named (name: string) (all: CollectorReading[]) : CollectorReading =
    all |> Array.find (fun reading -> reading.Collector.Name = name)

/// Files in an order of their own, comparable.
let private contentOf (reading: CollectorReading) =
    [
        for text in reading.Texts do
            List.ofArray text.Names, text.File, Encoding.Latin1.GetString text.Text.Span
    ]

let private writeBelow (directory: string) (path: string) (text: string) : unit =
    let path = Path.Combine(directory, path)
    Directory.CreateDirectory(nonNull (Path.GetDirectoryName path)) |> ignore
    File.WriteAllText(path, text)

[<Tests>]
let tests =
    testList
        "Host.CollectorFiles"
        [
            testCase "every file of a made-up machine, with what the stars stand for"
            <| fun () ->
                let found = read ("--collectors=processes" :: ofFixture)

                for expected in Readings.collectorsOf "collectors" do
                    Expect.isGreaterThan expected.Texts.Length 0 expected.Collector.Name
                    // A fixture has no links.
                    let files = contentOf expected |> List.filter (fun (_, file, _) -> file <> "device")
                    Expect.equal (contentOf (named expected.Collector.Name found)) files expected.Collector.Name

            testCase "the sensors of a chip, by the device that it belongs to, also where they lie in that"
            <| fun () ->
                World.withDirectory (fun directory ->
                    let write = writeBelow directory

                    let link (path: string) (target: string) =
                        Directory.CreateSymbolicLink(Path.Combine(directory, path), target) |> ignore

                    let chip = "devices/platform/coretemp.0/hwmon/hwmon2"
                    write $"{chip}/name" "coretemp\n"
                    write $"{chip}/temp1_input" "45000\n"
                    write $"{chip}/uevent" "nothing\n"
                    write "devices/platform/coretemp.0/temp1_crit" "100000\n"
                    write "devices/platform/coretemp.0/reset" "nothing\n"
                    link $"{chip}/device" "../../../coretemp.0"
                    Directory.CreateDirectory(Path.Combine(directory, "class/hwmon")) |> ignore
                    link "class/hwmon/hwmon2" "../../devices/platform/coretemp.0/hwmon/hwmon2"

                    Expect.equal
                        (contentOf (named "hwmon" (read [ $"--procfs={directory}"; $"--sysfs={directory}" ])))
                        [
                            [ "hwmon2" ], "device", $"{directory}/devices/platform/coretemp.0\n"
                            [ "hwmon2" ], "name", "coretemp\n"
                            [ "hwmon2" ], "temp1_input", "45000\n"
                            [ "hwmon2" ], "temp1_crit", "100000\n"
                        ]
                        "files"

                    write "devices/platform/coretemp.0/power/runtime_status" "suspended\n"

                    Expect.equal
                        (contentOf (named "hwmon" (read [ $"--procfs={directory}"; $"--sysfs={directory}" ])))
                        [
                            [ "hwmon2" ], "device", $"{directory}/devices/platform/coretemp.0\n"
                            [ "hwmon2" ], "name", "coretemp\n"
                        ]
                        "its device sleeps")

            testCase "a machine without any of them"
            <| fun () ->
                World.withDirectory (fun directory ->
                    for reading in read [ $"--procfs={directory}"; $"--sysfs={directory}" ] do
                        if reading.Collector.Name <> "timex" && reading.Collector.Name <> "process" then
                            Expect.equal reading.Texts.Length 0 reading.Collector.Name)

            testCase "read again, files say what they say now, places come and go, and what was missing is found within a minute"
            <| fun () ->
                World.withDirectory (fun directory ->
                    let write = writeBelow directory

                    let mutable now = TimeSpan.Zero

                    let clock =
                        { new AgentClock(1) with
                            override _.Elapsed = now
                        }

                    let files =
                        CollectorFiles(
                            settingsOf [ "--listen=127.0.0.1:9835"; $"--procfs={directory}"; $"--sysfs={directory}" ] [],
                            CollectorPace(2, TimeSpan.Zero),
                            clock
                        )

                    let texts name =
                        contentOf (named name (files.Read()))
                        |> List.map (fun (names, file, text) -> String.concat "/" (names @ [ file ]), text)

                    write "sys/fs/file-nr" "1 0 2\n"
                    write "class/net/eth0/mtu" "1500\n"
                    Expect.equal (texts "filefd") [ "file-nr", "1 0 2\n" ] "at first"
                    Expect.equal (texts "netclass") [ "eth0/mtu", "1500\n" ] "one interface"
                    write "sys/fs/file-nr" "3 0 2\n"
                    write "class/net/eth1/mtu" "9000\n"
                    Expect.equal (texts "filefd") [ "file-nr", "3 0 2\n" ] "then"
                    Expect.equal (texts "netclass" |> List.sort) [ "eth0/mtu", "1500\n"; "eth1/mtu", "9000\n" ] "two interfaces"
                    Directory.Delete(Path.Combine(directory, "class/net/eth0"), true)
                    Expect.equal (texts "netclass") [ "eth1/mtu", "9000\n" ] "one is gone"
                    write "class/net/eth0/mtu" "1400\n"
                    Expect.equal (texts "netclass" |> List.sort) [ "eth0/mtu", "1400\n"; "eth1/mtu", "9000\n" ] "and comes back as another"
                    write "class/net/eth1/address" "02:00:00:00:00:01\n"
                    now <- TimeSpan.FromSeconds 61.0

                    Expect.equal
                        (texts "netclass" |> List.sort)
                        [
                            "eth0/mtu", "1400\n"
                            "eth1/address", "02:00:00:00:00:01\n"
                            "eth1/mtu", "9000\n"
                        ]
                        "a file that was missing")

            testCase "for samples, what hardly ever changes is read once a minute, and when a link goes up or down"
            <| fun () ->
                World.withDirectory (fun directory ->
                    let write = writeBelow directory
                    let mutable now = TimeSpan.Zero

                    let clock =
                        { new AgentClock(1) with
                            override _.Elapsed = now
                        }

                    let settings =
                        settingsOf [ "--listen=127.0.0.1:9835"; $"--procfs={directory}"; $"--sysfs={directory}" ] []

                    let pushed = CollectorFiles(settings, CollectorPace.Samples, clock)
                    let scraped = CollectorFiles(settings, CollectorPace.Scrapes, clock)

                    let fileOf (files: CollectorFiles) collector file =
                        contentOf (named collector (files.Read()))
                        |> List.filter (fun (_, name, _) -> name = file)
                        |> List.map (fun (_, _, text) -> text.Trim())

                    write "class/net/eth0/carrier_changes" "1\n"
                    write "class/net/eth0/mtu" "1500\n"
                    write "devices/system/cpu/cpu0/cpufreq/scaling_cur_freq" "1000000\n"
                    write "devices/system/cpu/cpu0/cpufreq/scaling_max_freq" "3000000\n"
                    Expect.equal (fileOf pushed "netclass" "mtu") [ "1500" ] "at first"
                    Expect.equal (fileOf pushed "cpufreq" "scaling_max_freq") [ "3000000" ] "the clock at first"

                    write "class/net/eth0/mtu" "9000\n"
                    write "devices/system/cpu/cpu0/cpufreq/scaling_cur_freq" "2000000\n"
                    write "devices/system/cpu/cpu0/cpufreq/scaling_max_freq" "2500000\n"
                    now <- TimeSpan.FromSeconds 59.0
                    Expect.equal (fileOf pushed "netclass" "mtu") [ "1500" ] "it is not due"
                    Expect.equal (fileOf scraped "netclass" "mtu") [ "9000" ] "a scrape"
                    Expect.equal (fileOf pushed "cpufreq" "scaling_cur_freq") [ "2000000" ] "a clock"
                    Expect.equal (fileOf pushed "cpufreq" "scaling_max_freq") [ "3000000" ] "its limit is not due"

                    write "class/net/eth0/carrier_changes" "2\n"
                    Expect.equal (fileOf pushed "netclass" "carrier_changes") [ "2" ] "a change"
                    Expect.equal (fileOf pushed "netclass" "mtu") [ "9000" ] "the link has gone up or down"

                    write "class/net/eth0/mtu" "1400\n"
                    now <- TimeSpan.FromSeconds 60.0
                    Expect.equal (fileOf pushed "netclass" "mtu") [ "9000" ] "and is not due again for a minute"
                    Expect.equal (fileOf pushed "cpufreq" "scaling_max_freq") [ "2500000" ] "a minute"
                    now <- TimeSpan.FromSeconds 119.0
                    Expect.equal (fileOf pushed "netclass" "mtu") [ "1400" ] "a minute after the change")

            testCase "only the collectors that are wanted are read"
            <| fun () ->
                let names (words: string list) =
                    read (words @ ofFixture) |> Array.map (fun reading -> reading.Collector.Name)

                Expect.isFalse (Array.contains "netclass" (names [ "--collectors=-netclass" ])) "switched off"
                Expect.isFalse (Array.contains "processes" (names [])) "off"
                Expect.isFalse (Array.contains "textfile" (names [])) "no directory"

            testCase "the clock and the process that asks"
            <| fun () ->
                let found = read []
                // What the call returned, and struct timex.
                Expect.equal (named "timex" found).Texts[0].Text.Length (8 + 208) "the clock"
                let own = contentOf (named "process" found)

                Expect.equal (own |> List.map (fun (_, file, _) -> file)) [ "stat"; "statm"; "limits"; "descriptors" ] "files"
                let _, _, stat = own[0]
                Expect.stringStarts stat $"{Environment.ProcessId} (" "this process"
                let _, _, descriptors = own[3]
                Expect.isGreaterThan (int descriptors) 2 "descriptors"

            testCase "files of other programs, with their paths and times; one that cannot be read has none"
            <| fun () ->
                World.withDirectory (fun directory ->
                    let file = Path.Combine(directory, "a.prom")
                    File.WriteAllText(file, "x 1\n")
                    File.SetLastWriteTimeUtc(file, DateTime(2026, 2, 26, 12, 0, 0, 250, DateTimeKind.Utc))
                    File.WriteAllText(Path.Combine(directory, "b.prom.tmp"), "y 1\n")
                    Directory.CreateDirectory(Path.Combine(directory, "c.prom")) |> ignore

                    Expect.equal
                        (contentOf (named "textfile" (read [ $"--textfile-directory={directory}" ])))
                        [
                            // 2026-02-26 12:00:00.25 UTC by date(1).
                            [ file; "1772107200.25" ], "a.prom", "x 1\n"
                            [ Path.Combine(directory, "c.prom"); "" ], "c.prom", ""
                        ]
                        "files")
        ]
