/// The ingest API as JSON: what may stand in a body, what is refused, what costs one entry only, and how often a sample is stored.
module Agent.Dashboard.Tests.BodyTests

open System
open System.Globalization
open System.Text.Json
open Agent.Dashboard.Tests.Bodies
open Agent.TestSupport.DashboardProcess
open Agent.TestSupport.RawHttp
open Agent.Dashboard.Tests.Shared
open Expecto

let private postRaw (text: string) : Response = send text

/// Error and detail together: where the sentence may name what is wrong.
let private sentence (error: JsonElement) =
    let detail =
        match error.TryGetProperty "detail" with
        | true, detail -> detail.GetRawText()
        | false, _ -> ""

    $"""{textAt "error" error} {detail}"""

let private fresh () = sample (freshInstant ())

// ---- What is refused -------------------------------------------------------------------------------------------------

let private noObjects =
    [
        "nothing", ""
        "white space", " \r\n\t "
        "null", "null"
        "a number", "17"
        "a string", "\"sample\""
        "an array", "[]"
        "an array with a sample", "[{}]"
        "text", "collected_at=2026"
        "a page", "<!doctype html>"
        "half an object", "{\"sample\": {\"collected_at\": \"2026-"
        "an object and more", "{} {}"
        "a comma too many", "{\"sample\": {},}"
        "single quotes", "{'sample': {}}"
        "a comment", "{/* */}"
        "a NUL", "{\"sample\": {}}\u0000"
        "a sample that is null", "{\"sample\": null}"
        "a sample that is a list", "{\"sample\": []}"
        "a sample that is text", "{\"sample\": \"x\"}"
        "an empty object", "{}"
        "an empty sample", "{\"sample\": {}}"
        "an agent alone", render [ "agent", render agent ]
    ]

let private refusedWhole =
    testList
        "refused: not a sample"
        [
            for name, text in noObjects do
                testCase name <| fun () -> postRaw text |> refused 400 |> ignore

            testCase "bytes that are no UTF-8"
            <| fun () ->
                for bad in
                    [
                        [| 0xffuy |]
                        [| 0xc3uy; 0x28uy |]
                        [| 0xeduy; 0xa0uy; 0x80uy |]
                        [| 0xf8uy; 0x88uy; 0x80uy; 0x80uy; 0x80uy |]
                    ] do
                    let text = utf8 (body (fresh () |> set "fans" "[{\"label\":\"@\",\"speed_rpm\":1}]"))
                    let at = Array.IndexOf(text, '@'B)
                    let bytes = Array.concat [ text[.. at - 1]; bad; text[at + 1 ..] ]

                    exchange
                        (dashboard().Port)
                        (request
                            $"POST /api/ingest/servers/{server().Slug}/metrics/ HTTP/1.1"
                            [
                                "Host", "127.0.0.1"
                                "X-Monitoring-Token", server().Token
                                "Content-Length", string bytes.Length
                            ]
                            bytes)
                    |> refused 400
                    |> ignore

            testCase "nesting of 64 levels is read, one more is refused, and 100,000 do no harm"
            <| fun () ->
                // The body and the sample are two levels.
                let nested (levels: int) =
                    body (fresh () |> set "unknown" (String('[', levels) + String(']', levels)))

                postRaw (nested 62) |> accepted |> ignore
                postRaw (nested 63) |> refused 400 |> ignore
                postRaw (nested 100_000) |> refused 400 |> ignore
                postRaw (String('{', 100_000)) |> refused 400 |> ignore
                postRaw (String('[', 1_000_000)) |> refused 400 |> ignore

            testCase "half a surrogate pair in a text does no harm"
            <| fun () ->
                let response = postRaw (body (fresh () |> set "fans" """[{"label":"\ud800","speed_rpm":1}]"""))
                Expect.isTrue (response.Status = 200 || response.Status = 400) $"status {response.Status}"

            testCase "the error's text is the same for causes of one kind, the figures stand in the detail"
            <| fun () ->
                let errorFor (key: string) (value: string) =
                    let error = postRaw (body (fresh () |> set key value)) |> refused 400
                    textAt "error" error, rawAt "detail" error

                let first, firstDetail = errorFor "process_count" "9223372036854775808"
                let second, secondDetail = errorFor "memory_total_bytes" "99999999999999999999999"
                Expect.equal first second "one error"
                Expect.notEqual firstDetail secondDetail "two details"
        ]

let private wholeNumbers =
    [
        "cpu_count_logical"
        "cpu_count_physical"
        "memory_total_bytes"
        "memory_used_bytes"
        "memory_available_bytes"
        "swap_total_bytes"
        "swap_used_bytes"
        "network_rx_bytes_total"
        "network_tx_bytes_total"
        "process_count"
    ]

let private numbers =
    [
        "cpu_usage_percent"
        "cpu_user_percent"
        "cpu_system_percent"
        "cpu_iowait_percent"
        "cpu_load_1"
        "cpu_load_5"
        "cpu_load_15"
        "cpu_frequency_mhz"
        "cpu_temperature_c"
        "memory_percent"
        "swap_percent"
    ]

let private refusedByKey =
    testList
        "refused: a number that cannot be stored, by its key"
        [
            for key in wholeNumbers do
                for value in
                    [
                        "9223372036854775808"
                        "-9223372036854775809"
                        "1e400"
                        "\"18446744073709551616\""
                    ] do
                    testCase $"{key} of {value}"
                    <| fun () ->
                        let error = postRaw (body (fresh () |> set key value)) |> refused 400
                        Expect.stringContains (sentence error) key "the key is named"

            for key in numbers do
                for value in [ "NaN"; "Infinity"; "-Infinity"; "1e400"; "\"NaN\""; "\"inf\""; "\"1e999\"" ] do
                    testCase $"{key} of {value}"
                    <| fun () ->
                        let error = postRaw (body (fresh () |> set key value)) |> refused 400
                        Expect.stringContains (sentence error) key "the key is named"
        ]

// ---- Dates -----------------------------------------------------------------------------------------------------------

let private utcText (at: DateTimeOffset) (form: string) =
    at.ToUniversalTime().ToString(form, CultureInfo.InvariantCulture)

let private goodDates =
    [
        "with an offset of zero", "yyyy-MM-dd'T'HH:mm:ss.ffffff'+00:00'"
        "with Z", "yyyy-MM-dd'T'HH:mm:ss.ffffff'Z'"
        "without an offset, which is UTC", "yyyy-MM-dd'T'HH:mm:ss.ffffff"
        "without a fraction", "yyyy-MM-dd'T'HH:mm:ss'+00:00'"
        "with milliseconds", "yyyy-MM-dd'T'HH:mm:ss.fff'Z'"
        "with one digit of fraction", "yyyy-MM-dd'T'HH:mm:ss.f'Z'"
    ]

let private badDates =
    [
        "a 30th of February", "2026-02-30T00:00:00+00:00"
        "a 29th of February in a common year", "2026-02-29T00:00:00+00:00"
        "a 13th month", "2026-13-01T00:00:00+00:00"
        "a month 0", "2026-00-01T00:00:00+00:00"
        "a day 0", "2026-01-00T00:00:00+00:00"
        "25 o'clock", "2026-01-01T25:00:00+00:00"
        "a 60th minute", "2026-01-01T00:60:00+00:00"
        "an offset of 99 hours", "2026-01-01T00:00:00+99:00"
        "text", "yesterday"
        "nothing", ""
        "a time alone", "12:00:00"
        "year 0", "0000-01-01T00:00:00+00:00"
        "other digits", "２０２６-01-01T00:00:00+00:00"
        "a date beyond its end", "2026-01-01T00:00:00+00:00 and more"
        "a NUL", "2026-01-01T00:00:00+00:00\u0000"
    ]

let private dates =
    testList
        "collected_at"
        [
            for name, form in goodDates do
                testCase name
                <| fun () ->
                    let at = freshInstant ()
                    let response = sendSample (sample at |> set "collected_at" (quoted (utcText at form)))
                    Expect.equal (textAt "collected_at" (snapshotOf response)) (instant at) "as UTC"

            testCase "with another offset"
            <| fun () ->
                let at = freshInstant ()

                for hours in [ 2.0; -5.0; 5.5; 14.0 ] do
                    let there = at.ToOffset(TimeSpan.FromHours hours)
                    let response = sendSample (sample at |> set "collected_at" (quoted (instant there)))
                    Expect.equal (textAt "collected_at" (snapshotOf response)) (instant at) "as UTC"

            testCase "microseconds are kept"
            <| fun () ->
                let at = freshInstant().AddMicroseconds 123_457.0
                let answered = snapshotOf (sendSample (sample at))
                Expect.equal (textAt "collected_at" answered) (instant at) "in the answer"
                Expect.equal (textAt "collected_at" (latest ())) (instant at) "in the store"

            for name, text in badDates do
                testCase $"refused: {name}"
                <| fun () ->
                    let error = sendSample (fresh () |> set "collected_at" (quoted text)) |> refused 400
                    Expect.stringContains (sentence error) "collected_at" "the key is named"

            for name, value in [ "null", "null"; "a number", "1772073469"; "an object", "{}"; "true", "true" ] do
                testCase $"refused: {name}"
                <| fun () ->
                    let error = sendSample (fresh () |> set "collected_at" value) |> refused 400
                    Expect.stringContains (sentence error) "collected_at" "the key is named"

            testCase "refused: none at all"
            <| fun () ->
                let error = sendSample (fresh () |> without "collected_at") |> refused 400
                Expect.stringContains (sentence error) "collected_at" "the key is named"

            testCase "more than five minutes ahead is refused with both clocks; four minutes ahead is stored"
            <| fun () ->
                let server = freshServer ()

                let postAt (at: DateTimeOffset) =
                    post (dashboard().Port) server (body (sample at))

                let ahead = DateTimeOffset.UtcNow.AddMinutes 5.5
                let error = postAt ahead |> refused 400
                let detail = textAt "detail" error
                // To the minute, as both may round to the second.
                Expect.stringContains detail (utcText ahead "yyyy-MM-dd'T'HH:mm:") "the sample's clock"
                let now = DateTimeOffset.UtcNow

                Expect.isTrue
                    ([ now; now.AddMinutes -1.0 ]
                     |> List.exists (fun now -> detail.Contains(utcText now "yyyy-MM-dd'T'HH:mm:")))
                    $"the receiver's clock: {detail}"

                let far = postAt (DateTimeOffset(9999, 12, 31, 23, 59, 59, TimeSpan.Zero)) |> refused 400
                Expect.equal (textAt "error" far) (textAt "error" error) "one error for all of them"
                postAt (DateTimeOffset.UtcNow.AddMinutes 4.0) |> accepted |> ignore

            testCase "a sample from long ago is answered like any other, and harms nothing"
            <| fun () ->
                let server = freshServer ()

                for year in [ 1; 1969; 1970; 2001 ] do
                    let response =
                        post (dashboard().Port) server (body (sample (DateTimeOffset(year, 1, 2, 3, 4, 5, TimeSpan.Zero))))

                    Expect.isTrue (response.Status = 200 || response.Status = 400) $"year {year}: {response.Text}"
        ]

// ---- What is read leniently ------------------------------------------------------------------------------------------

/// Posts a sample and compares what is stored of it.
let private storedAs (changes: Members) (expected: (string * string) list) =
    let before = rawAt "id" (snapshotOf (sendSample (fresh () |> setAll changes)))
    let stored = latest ()
    Expect.equal (rawAt "id" stored) before "the newest"

    for key, value in expected do
        let raw = rawAt $"sample.{key}" stored

        match Double.TryParse(value, CultureInfo.InvariantCulture), Double.TryParse(raw, CultureInfo.InvariantCulture) with
        | (true, number), (true, found) -> Expect.floatClose Accuracy.medium found number key
        | _ -> Expect.equal raw value key

let private lenient =
    testList
        "read leniently"
        [
            testCase "every key is stored"
            <| fun () ->
                let plain = fresh ()
                sendSample plain |> accepted |> ignore
                let stored = latest ()

                for key, value in
                    plain
                    |> List.filter (fun (key, _) -> not (List.contains key [ "collected_at"; "disks"; "gpus"; "fans" ])) do
                    Expect.floatClose Accuracy.medium (numberAt $"sample.{key}" stored) (float value) key

                let disk = (at "sample.disks" stored).[0]

                for key, value in
                    [
                        "read_bytes_total", 1_000_000.0
                        "write_bytes_total", 2_000_000.0
                        "read_count_total", 300.0
                        "write_count_total", 400.0
                        "busy_time_ms_total", 5_000.0
                    ] do
                    Expect.equal (numberAt key disk) value key

            testCase "GPUs and fans are stored"
            <| fun () ->
                sendSample (
                    fresh ()
                    |> setAll
                        [
                            "gpus", list [ gpu 0 "97" "25.5"; gpu 3 "null" "null" ]
                            "fans", list [ fan "FAN1" 5600; fan "Größe 2" 0 ]
                        ]
                )
                |> accepted
                |> ignore

                let stored = latest ()
                let gpus = [ for gpu in (at "sample.gpus" stored).EnumerateArray() -> gpu ]
                Expect.equal (gpus |> List.map (numberAt "gpu_index")) [ 0.0; 3.0 ] "indexes"

                for key, value in
                    [
                        "utilization_gpu_percent", 97.0
                        "utilization_memory_percent", 11.0
                        "memory_total_bytes", 85_520_809_984.0
                        "memory_used_bytes", 21_380_202_496.0
                        "memory_percent", 25.5
                        "temperature_c", 53.0
                        "power_w", 433.78
                        "power_limit_w", 700.0
                    ] do
                    Expect.floatClose Accuracy.medium (numberAt key gpus[0]) value key

                Expect.equal (rawAt "fan_speed_percent" gpus[0]) "null" "not known"
                Expect.equal (rawAt "utilization_gpu_percent" gpus[1]) "null" "not known"

                Expect.equal
                    (textAt "name" gpus[0], textAt "uuid" gpus[1])
                    ("NVIDIA H100 80GB HBM3", "GPU-44444444-0000-4000-8000-000000000003")
                    "texts"

                Expect.equal
                    [
                        for fan in (at "sample.fans" stored).EnumerateArray() -> textAt "label" fan, numberAt "speed_rpm" fan
                    ]
                    [ "FAN1", 5600.0; "Größe 2", 0.0 ]
                    "fans"

            testCase "pressure and throttle reasons, keys of our own agent"
            <| fun () ->
                let pressure =
                    render
                        [
                            "cpu_some_avg10", "1.25"
                            "io_some_avg10", "2.5"
                            "io_full_avg10", "3.75"
                            "memory_some_avg10", "0.01"
                            "memory_full_avg10", "0"
                            "cpu_some_total_us", "100"
                            "io_some_total_us", "200"
                            "io_full_total_us", "300"
                            "memory_some_total_us", "400"
                            "memory_full_total_us", "500"
                        ]

                let throttled =
                    render (
                        gpuMembers 0 "97" "25"
                        @ [
                            "throttle_reasons", list [ quoted "hw_thermal_slowdown"; quoted "sw_power_cap" ]
                        ]
                    )

                sendSample (fresh () |> setAll [ "pressure", pressure; "gpus", list [ throttled ] ])
                |> accepted
                |> ignore

                let stored = latest ()

                for key, value in
                    [
                        "cpu_some_avg10", 1.25
                        "io_some_avg10", 2.5
                        "io_full_avg10", 3.75
                        "memory_some_avg10", 0.01
                        "memory_full_avg10", 0.0
                    ] do
                    Expect.floatClose Accuracy.medium (numberAt $"sample.pressure.{key}" stored) value key

                let reasons = at "throttle_reasons" (at "sample.gpus" stored).[0]

                Expect.equal
                    (reasons.EnumerateArray()
                     |> Seq.map (fun reason -> string (reason.GetString()))
                     |> List.ofSeq
                     |> List.sort)
                    [ "hw_thermal_slowdown"; "sw_power_cap" ]
                    "reasons"

            testCase "a bare sample is a body, too"
            <| fun () ->
                let at = freshInstant ()
                let answered = snapshotOf (postRaw (render (sample at)))
                Expect.equal (textAt "collected_at" answered) (instant at) "stored"
                Expect.equal (numberAt "cpu_usage_percent" answered) 33.3 "with its figures"

            testCase "numbers as strings"
            <| fun () ->
                storedAs
                    [
                        "cpu_usage_percent", "\"12.5\""
                        "memory_total_bytes", "\"9223372036854775807\""
                        "process_count", "\" 17 \""
                        "cpu_load_1", "\"1e1\""
                    ]
                    [
                        "cpu_usage_percent", "12.5"
                        "memory_total_bytes", "9223372036854775807"
                        "process_count", "17"
                        "cpu_load_1", "10"
                    ]

            testCase "the largest integer there is"
            <| fun () ->
                let largest = "9223372036854775807"

                let huge =
                    render
                        [
                            "device", quoted "sda"
                            "read_bytes_total", largest
                            "write_bytes_total", largest
                            "read_count_total", largest
                            "write_count_total", largest
                            "busy_time_ms_total", largest
                        ]

                sendSample (
                    fresh ()
                    |> setAll
                        [
                            "network_rx_bytes_total", largest
                            "memory_total_bytes", largest
                            "disks", list [ huge ]
                        ]
                )
                |> accepted
                |> ignore

                let stored = latest ()
                Expect.equal (rawAt "sample.network_rx_bytes_total" stored) largest "exactly"
                Expect.equal (rawAt "read_bytes_total" (at "sample.disks" stored).[0]) largest "exactly, in a disk"

            testCase "null is stored as unknown, and so is a key that is missing"
            <| fun () ->
                for key in numbers @ wholeNumbers do
                    let id = rawAt "id" (snapshotOf (sendSample (fresh () |> set key "null")))
                    let stored = latest ()
                    Expect.equal (rawAt "id" stored, rawAt $"sample.{key}" stored) (id, "null") key

                sendSample [ "collected_at", quoted (instant (freshInstant ())) ]
                |> accepted
                |> ignore

                let stored = latest ()

                for key in numbers @ wholeNumbers do
                    match (at "sample" stored).TryGetProperty key with
                    | true, value -> Expect.equal (value.GetRawText()) "null" key
                    | false, _ -> ()

                Expect.equal (rawAt "cpu_usage_percent" stored) "null" "and so in the summary"

            testCase "a label is cut at 64 characters, not within one"
            <| fun () ->
                // The 64th and 65th UTF-16 unit are one character.
                let label = String('f', 63) + "\U0001F300 and more"

                sendSample (fresh () |> set "fans" (list [ fan label 100 ]))
                |> accepted
                |> ignore

                let kept = textAt "label" (at "sample.fans" (latest ())).[0]
                Expect.isTrue (kept = String('f', 63) || kept = String('f', 63) + "\U0001F300") $"whole characters: {kept}"

            testCase "unknown keys are ignored, whatever they hold"
            <| fun () ->
                let extras =
                    [
                        "future", "{\"a\": [1, 2, {\"b\": null}]}"
                        "gpu_sum", "9223372036854775808"
                        "", "1"
                        "größe", "\"\\u0000\""
                    ]

                sendSample (fresh () @ extras) |> accepted |> ignore

            testCase "a key that stands twice: one of its values, and no harm"
            <| fun () ->
                let answered = snapshotOf (sendSample (fresh () @ [ "cpu_usage_percent", "44.4" ]))
                let value = numberAt "cpu_usage_percent" answered
                Expect.isTrue (value = 33.3 || value = 44.4) $"one of both: {value}"

            testCase "what the agent says of itself is shown as it came"
            <| fun () ->
                let server = freshServer ()

                let info =
                    agent
                    |> setAll
                        [
                            "labels", """{"rack":"r1","größe":"\"x\""}"""
                            "system_info", """{"cpu_model":"AMD EPYC 9654","partitions":[{"device":"/dev/vda1","percent":30.5}]}"""
                        ]

                post (dashboard().Port) server (render [ "sample", render (fresh ()); "agent", render info ])
                |> accepted
                |> ignore

                let shown = read $"/api/metrics/latest/?server={server.Slug}" |> at "server.agent"
                Expect.equal (textAt "hostname" shown) "node-7" "hostname"
                Expect.equal (textAt "labels.größe" shown) "\"x\"" "labels"
                Expect.equal (textAt "system_info.cpu_model" shown) "AMD EPYC 9654" "system_info"
                Expect.equal (numberAt "percent" (at "system_info.partitions" shown).[0]) 30.5 "partitions"

            for name, agent in [ "null", "null"; "a list", "[]"; "text", "\"x\""; "an empty object", "{}" ] do
                testCase $"an agent that is {name} does not cost the sample"
                <| fun () ->
                    postRaw (render [ "sample", render (fresh ()); "agent", agent ])
                    |> accepted
                    |> ignore

            testCase "an agent with a thousand keys does not cost the sample"
            <| fun () ->
                let many = render [ for i in 1..1000 -> $"key{i}", string i ]

                postRaw (render [ "sample", render (fresh ()); "agent", many ])
                |> accepted
                |> ignore
        ]

// ---- What costs one entry --------------------------------------------------------------------------------------------

/// The list's key, its items, what is kept of them (by device, index or label), and what the warnings name.
let private entries: (string * string * string list * string list * string list) list =
    let sda = disk "sda" 1L 2L 3L 4L 5L
    let broken (key: string) (value: string) = set key value

    let diskWith key value =
        render (
            [
                "device", quoted "sdb"
                "read_bytes_total", "1"
                "write_bytes_total", "2"
                "read_count_total", "3"
                "write_count_total", "4"
                "busy_time_ms_total", "5"
            ]
            |> broken key value
        )

    let gpuWith key value =
        render (gpuMembers 1 "50" "25" |> broken key value)

    let fanWith key value =
        render ([ "label", quoted "FAN2"; "speed_rpm", "100" ] |> broken key value)

    [
        "a disk twice", "disks", [ sda; disk "sda" 9L 9L 9L 9L 9L ], [ "sda" ], [ "disks"; "sda" ]
        "a disk twice after trimming", "disks", [ sda; disk " sda " 9L 9L 9L 9L 9L ], [ "sda" ], [ "disks"; "sda" ]

        "a disk twice after cutting to 64 characters",
        "disks",
        [ disk (String('d', 64)) 1L 2L 3L 4L 5L; disk (String('d', 65)) 9L 9L 9L 9L 9L ],
        [ String('d', 64) ],
        [ "disks" ]

        "a disk without a name", "disks", [ sda; diskWith "device" "\"\"" ], [ "sda" ], [ "disks" ]
        "a disk whose name is null", "disks", [ sda; diskWith "device" "null" ], [ "sda" ], [ "disks" ]
        "a disk whose name is a number", "disks", [ sda; diskWith "device" "7" ], [ "sda" ], [ "disks" ]
        "a disk whose counter is text", "disks", [ diskWith "read_bytes_total" "\"many\""; sda ], [ "sda" ], [ "disks"; "read_bytes_total" ]
        "a disk whose counter is negative", "disks", [ diskWith "write_count_total" "-1"; sda ], [ "sda" ], [ "disks"; "write_count_total" ]
        "a disk whose counter is an object", "disks", [ sda; diskWith "read_count_total" "{}" ], [ "sda" ], [ "disks"; "read_count_total" ]
        "disks that are none", "disks", [ "null"; "17"; "[]"; "\"sdb\""; sda; "true" ], [ "sda" ], [ "disks" ]
        "a GPU twice", "gpus", [ gpu 0 "10" "20"; gpu 0 "90" "80" ], [ "0" ], [ "gpus"; "0" ]
        "a GPU without an index", "gpus", [ gpu 0 "10" "20"; gpuWith "gpu_index" "null" ], [ "0" ], [ "gpus"; "gpu_index" ]
        "a GPU with a negative index", "gpus", [ gpu 0 "10" "20"; gpuWith "gpu_index" "-1" ], [ "0" ], [ "gpus"; "gpu_index" ]
        "a GPU whose utilisation is text",
        "gpus",
        [ gpu 0 "10" "20"; gpuWith "utilization_gpu_percent" "\"[N/A]\"" ],
        [ "0" ],
        [ "gpus"; "utilization_gpu_percent" ]
        "a fan twice", "fans", [ fan "FAN1" 100; fan "FAN1" 900 ], [ "FAN1" ], [ "fans"; "FAN1" ]
        "a fan twice after trimming", "fans", [ fan "FAN1" 100; fan "\tFAN1 " 900 ], [ "FAN1" ], [ "fans"; "FAN1" ]
        "a fan without a label", "fans", [ fan "FAN1" 100; fanWith "label" "null" ], [ "FAN1" ], [ "fans" ]
        "a fan whose speed is text", "fans", [ fan "FAN1" 100; fanWith "speed_rpm" "\"fast\"" ], [ "FAN1" ], [ "fans"; "speed_rpm" ]
        "fans that are none", "fans", [ "[]"; fan "FAN1" 100; "1" ], [ "FAN1" ], [ "fans" ]
    ]

let private nameOf (key: string) (entry: JsonElement) =
    match key with
    | "disks" -> textAt "device" entry
    | "gpus" -> rawAt "gpu_index" entry
    | _ -> textAt "label" entry

let private costsOneEntry =
    testList
        "a bad entry is left out and named, the sample is kept"
        [
            for name, key, items, kept, named in entries do
                testCase name
                <| fun () ->
                    let response = sendSample (fresh () |> set key (list items))
                    let warnings = warningsOf response
                    Expect.equal warnings.Length (items.Length - kept.Length) $"a warning for each: %A{warnings}"

                    for word in named do
                        Expect.isTrue (warnings |> List.exists _.Contains(word)) $"{word} is named: %A{warnings}"

                    let stored = latest ()
                    Expect.equal (rawAt "id" stored) (rawAt "id" (snapshotOf response)) "the newest"

                    Expect.equal
                        [
                            for entry in (at $"sample.{key}" stored).EnumerateArray() -> nameOf key entry
                        ]
                        kept
                        "what is kept"

            testCase "of two entries of one name the first is kept"
            <| fun () ->
                sendSample (fresh () |> set "fans" (list [ fan "FAN1" 100; fan "FAN1" 900 ]))
                |> accepted
                |> ignore

                Expect.equal (numberAt "speed_rpm" (at "sample.fans" (latest ())).[0]) 100.0 "the first"

            testCase "a sample without fault has no warnings"
            <| fun () -> Expect.equal (warningsOf (sendSample (fresh ()))) [] "none"

            for key in [ "disks"; "gpus"; "fans" ] do
                testCase $"{key} that is null or missing is an empty list"
                <| fun () ->
                    for change in [ set key "null"; without key ] do
                        let response = sendSample (fresh () |> change)
                        Expect.equal (warningsOf response) [] "no warning"
                        Expect.equal ((at $"sample.{key}" (latest ())).GetArrayLength()) 0 "empty"

                for value in [ "{}"; "7"; "\"sda\"" ] do
                    testCase $"{key} that is {value} costs the list, not the sample"
                    <| fun () ->
                        let warnings = warningsOf (sendSample (fresh () |> set key value))
                        Expect.isTrue (warnings |> List.exists _.Contains(key)) $"named: %A{warnings}"

            testCase "a thousand entries"
            <| fun () ->
                let many = list [ for i in 1..1000 -> disk $"sd{i}" 1L 2L 3L 4L 5L ]
                let response = sendSample (fresh () |> set "disks" many)
                Expect.isTrue (response.Status = 200 || response.Status = 400) $"answered: {response.Status}"
        ]

// ---- Once per instant ------------------------------------------------------------------------------------------------

let private once =
    testList
        "stored once per instant"
        [
            testCase "a resend is answered 200 with the same snapshot"
            <| fun () ->
                let plain = fresh ()
                let first = snapshotOf (sendSample plain)
                let second = snapshotOf (sendSample plain)
                Expect.equal (rawAt "id" second) (rawAt "id" first) "the same id"
                Expect.equal (second.GetRawText()) (first.GetRawText()) "and all the rest"

            testCase "a resend after a later sample does not move it, nor change the later one"
            <| fun () ->
                let server = freshServer ()
                let start = freshInstant ()

                let at k =
                    sample (start.AddSeconds(float k))
                    |> set "network_rx_bytes_total" (string (k * 100))

                let postOne k =
                    snapshotOf (post (dashboard().Port) server (body (at k)))

                let first = postOne 0
                postOne 10 |> ignore
                Expect.equal (rawAt "id" (postOne 0)) (rawAt "id" first) "the same id"
                let newest = latestOf server
                Expect.equal (textAt "collected_at" newest) (instant (start.AddSeconds 10.0)) "the newest"
                Expect.equal (numberAt "network_rx_bytes_per_s" newest) 100.0 "its rate"

            testCase "the same instant written otherwise is the same sample"
            <| fun () ->
                let at = freshInstant ()

                let id text =
                    rawAt "id" (snapshotOf (sendSample (sample at |> set "collected_at" (quoted text))))

                let first = id (instant at)
                Expect.equal (id (utcText at "yyyy-MM-dd'T'HH:mm:ss'Z'")) first "Z"
                Expect.equal (id (instant (at.ToOffset(TimeSpan.FromHours 2.0)))) first "an offset"

            testCase "a resend with other figures does not overwrite what was stored"
            <| fun () ->
                let plain = fresh ()
                let first = snapshotOf (sendSample plain)
                let second = snapshotOf (sendSample (plain |> set "cpu_usage_percent" "99"))
                Expect.equal (rawAt "id" second) (rawAt "id" first) "the same id"
                Expect.equal (numberAt "cpu_usage_percent" second) 33.3 "as it was stored"
                Expect.equal (numberAt "cpu_usage_percent" (latest ())) 33.3 "in the store"

            testCase "the same instant of two servers is two samples"
            <| fun () ->
                let plain = fresh ()
                let other = freshServer ()
                let first = snapshotOf (sendSample plain)
                let second = snapshotOf (post (dashboard().Port) other (body plain))
                Expect.notEqual (rawAt "id" second) (rawAt "id" first) "two ids"

            testCase "a microsecond later is another sample"
            <| fun () ->
                let start = freshInstant ()

                let id (at: DateTimeOffset) =
                    rawAt "id" (snapshotOf (sendSample (sample at)))

                Expect.notEqual (id (start.AddMicroseconds 1.0)) (id start) "two ids"

            testCase "one sample posted by sixteen clients at once is stored once"
            <| fun () ->
                let server = freshServer ()
                let start = freshInstant ()
                let text = body (sample start)

                let ids =
                    Array.Parallel.init 16 (fun _ -> rawAt "id" (snapshotOf (post (dashboard().Port) server text)))

                Expect.equal (Array.distinct ids).Length 1 $"one id: %A{ids}"
                let until = Uri.EscapeDataString(instant (start.AddSeconds 30.0))
                let history = read $"/api/metrics/history/?server={server.Slug}&minutes=2&to={until}"
                Expect.equal ((at "time" history).GetArrayLength()) 1 "one point"
        ]

let private answer =
    testList
        "the answer"
        [
            testCase "has exactly what the agent reads"
            <| fun () ->
                let instant' = freshInstant ()
                let answered = accepted (sendSample (sample instant' |> set "gpus" (list [ gpu 0 "97" "25" ])))
                let snapshot = at "snapshot" answered

                for key in
                    [
                        "id"
                        "collected_at"
                        "bottleneck"
                        "cpu_usage_percent"
                        "top_gpu_util_percent"
                        "disk_util_percent"
                    ] do
                    at key snapshot |> ignore

                Expect.equal (textAt "server.slug" answered) (server().Slug) "the server"
                Expect.equal (at "id" snapshot).ValueKind JsonValueKind.Number "a number"
                Expect.equal (textAt "collected_at" snapshot) (instant instant') "collected_at"
                Expect.equal (textAt "bottleneck" snapshot) "gpu-bound" "bottleneck"
                Expect.equal (numberAt "cpu_usage_percent" snapshot) 33.3 "CPU"
                Expect.equal (numberAt "top_gpu_util_percent" snapshot) 97.0 "GPU"
                Expect.equal (numberAt "disk_util_percent" snapshot) 0.0 "disk"

            testCase "says that it is JSON, and how long"
            <| fun () ->
                let response = sendSample (fresh ())
                Expect.stringStarts (defaultArg (response.Header "content-type") "") "application/json" "content type"
                Expect.equal (response.Header "content-length") (Some(string response.Body.Length)) "length"
        ]

let tests =
    testList "bodies" [ refusedWhole; refusedByKey; dates; lenient; costsOneEntry; once; answer ]
