/// Verdicts on the fleet's page: what is worst comes first, and nothing moves without need.
module Agent.Browser.Tests.VerdictTests

open System
open System.Net.Http
open System.Text
open System.Threading
open Agent.Browser.Tests.Browser
open Agent.Browser.Tests.Dashboards
open Agent.Browser.Tests.Verdicts
open Agent.TestSupport.DashboardProcess
open Expecto

let private sick =
    Map
        [
            "a100-02", verdict "gpu-fault" "fault" "GPU 3 does not answer any more." "Restart the machine."
            "rtx-03", verdict "held-idle" "held-idle" "2 GPUs are held and do nothing." ""
            "a100-05", verdict "loader-cpu" "held-back" "The GPUs wait for the loader." "Set num_workers=4."
        ]

let private order (page: Visit) =
    page.Value<string[]> "[...document.querySelectorAll('.machine')].filter(m => !m.hidden).map(m => m.dataset.slug)"
    |> List.ofArray

/// Registers machines and gives each a sample.
let private withHistories (slugs: string list) (test: Dashboard -> (float -> string -> float -> unit) -> unit) =
    withDashboard [] (fun dashboard ->
        let tokens = slugs |> List.map (fun slug -> slug, dashboard.Register(slug, []).Token) |> Map
        use http = new HttpClient()

        let post (secondsAgo: float) (slug: string) (gpu: float) =
            let now = DateTimeOffset.UtcNow.AddSeconds(-secondsAgo).ToString "yyyy-MM-dd'T'HH:mm:ss.ffffffzzz"

            let body =
                $$"""{"sample":{"collected_at":"{{now}}","cpu_usage_percent":30,"memory_percent":40,"gpus":[{"gpu_index":0,"name":"H100","utilization_gpu_percent":{{gpu}},"memory_percent":60}]},"agent":{"labels":{"rack":"{{slug.Substring(0, 1)}}"} } }"""

            use request =
                new HttpRequestMessage(HttpMethod.Post, $"{dashboard.Url}/api/ingest/servers/{slug}/metrics/")

            request.Headers.Add("X-Monitoring-Token", tokens[slug])
            request.Content <- new StringContent(body, Encoding.UTF8, "application/json")
            use answer = http.Send request
            Expect.equal (int answer.StatusCode) 200 "the sample is taken"

        test dashboard post)

/// The same with a sample of each machine just now.
let private withMachines (slugs: string list) (test: Dashboard -> (string -> float -> unit) -> unit) =
    withHistories slugs (fun dashboard post ->
        for slug in slugs do
            post 0.0 slug 95.0

        test dashboard (post 0.0))

[<Tests>]
let tests =
    testList
        "Verdict"
        [
            testCase "faults come first, then what is held back, then what is held unused; reason and fix are told"
            <| fun () ->
                visit desktop (fleet ()) (fun page ->
                    page.Quiet()
                    judge page sick.TryFind
                    page.Go "/"
                    page.See card
                    let slugs = order page |> List.filter sick.ContainsKey

                    let others =
                        sick.Keys
                        |> Seq.filter (fun slug -> not (List.contains slug slugs))
                        |> List.ofSeq

                    Expect.isEmpty others "all three are in the script's fleet"
                    Expect.equal (order page |> List.take 3) [ "a100-02"; "a100-05"; "rtx-03" ] "by severity"
                    let first = page.Text ".machine"

                    for part in [ "GPU fault"; "GPU 3 does not answer any more."; "Restart the machine." ] do
                        Expect.stringContains first part "what the card tells"

                    Expect.stringStarts (page.Value<string> "document.title") "(3) " "the title counts"
                    Expect.stringContains (page.Text ".fleet-head") "1 fault" "and so does the head"
                    page.Click ".filter[data-show=attention]"
                    Expect.equal (order page).Length 3 "what needs attention")

            testCase "every label is seen on both grounds, has a name and a mark that is not its colour"
            <| fun () ->
                for look in [ desktop; night ] do
                    visit look (fleet ()) (fun page ->
                        page.Go "/"
                        page.See card

                        let faint =
                            page.Value<string[]>
                                """(async () => {
  const { LABELS, colour, colourOf, nameOf } = await import('/assets/labels.js');
  const rgb = (text) => { const c = document.createElement('canvas').getContext('2d'); c.fillStyle = text; const n = parseInt(c.fillStyle.slice(1), 16); return [n >> 16, (n >> 8) & 255, n & 255]; };
  const light = (text) => rgb(text).map(v => v / 255).map(v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4).reduce((s, v, i) => s + v * [0.2126, 0.7152, 0.0722][i], 0);
  const ratio = (a, b) => (Math.max(light(a), light(b)) + 0.05) / (Math.min(light(a), light(b)) + 0.05);
  const mine = ['compute', 'throttled', 'loader-cpu', 'main-thread', 'cpu-contended', 'cpu-quota', 'disk-read', 'disk-write', 'network-storage', 'network', 'memory', 'communication', 'imbalance', 'hang', 'held-idle', 'gpu-fault', 'idle', 'starting', 'unknown'];
  return [...mine.filter(l => !(l in LABELS) || LABELS[l][2].length < 10 || nameOf(l) === l), ...mine.filter(l => l !== 'idle' && ratio(colourOf(l), colour('--surface')) < 3)];
})()"""

                        Expect.equal faint [||] "labels without a name, or that are hard to see")

            testCase "a job that alternates between two labels every three seconds moves no card"
            <| fun () ->
                let slugs = [ "alpha"; "beta"; "gamma"; "delta" ]

                withHistories slugs (fun dashboard postAt ->
                    let post = postAt 0.0

                    // It has been like that for a while: what is found out at the start is no change.
                    for ago in 89.0 .. -1.0 .. 0.0 do
                        for slug in slugs do
                            postAt ago slug (if slug = "gamma" && int ago / 3 % 2 = 0 then 20.0 else 95.0)

                    visit desktop dashboard.Url (fun page ->
                        page.Go "/"
                        page.See ".machine[data-slug=gamma] .spark"
                        page.See ".link-state[data-state=live]"
                        let before = order page

                        page.Value<bool>
                            "(() => { window.moves = 0; new MutationObserver(all => { window.moves += all.filter(m => m.addedNodes.length > 0).length; }).observe(document.querySelector('.grid'), { childList: true }); return true; })()"
                        |> ignore

                        // Eight changes; a label has to stand for ten seconds, so that eighty would be no different.
                        for turn in 1..8 do
                            for slug in [ "alpha"; "beta"; "delta" ] do
                                post slug 95.0

                            post "gamma" (if turn % 2 = 0 then 95.0 else 20.0)
                            Thread.Sleep 3000

                        Expect.equal (page.Value<int> "window.moves") 0 "cards that were moved"
                        Expect.equal (order page) before "in their order"))

            testCase "forty seconds without samples show in six hours' strip, as a notch and in words"
            <| fun () ->
                withHistories [ "alpha" ] (fun dashboard postAt ->
                    for ago in 1800.0 .. -2.0 .. 0.0 do
                        if ago > 920.0 || ago <= 880.0 then
                            postAt ago "alpha" 95.0

                    visit desktop dashboard.Url (fun page ->
                        page.Go "/servers/alpha?range=360"
                        page.See "[data-chart=bottleneck] canvas"

                        page.Until "document.querySelector('[data-chart=bottleneck] .plot').chart.record.silent.length > 0"

                        let told =
                            page.Value<string>
                                """(() => { const chart = document.querySelector('[data-chart=bottleneck] .plot').chart;
  const all = chart.record.silent;
  return all.map((run) => chart.spec.sentence(chart, (run.from + run.to) / 2)).join(' | ') + ' / ' + all.reduce((sum, run) => sum + run.seconds, 0); })()"""

                        Expect.stringContains told "No samples for" "in words"
                        let missing = float (told.Substring(told.LastIndexOf '/' + 1))
                        Expect.isTrue (missing >= 36.0 && missing <= 44.0) $"about forty seconds: {told}"))

            testCase "cards stay where they are while the pointer is over them, unless a fault appears"
            <| fun () ->
                withMachines [ "alpha"; "beta"; "gamma" ] (fun dashboard _ ->
                    visit desktop dashboard.Url (fun page ->
                        let now = ref Map.empty
                        page.Quiet()
                        judge page (fun slug -> now.Value.TryFind slug)
                        finish (page.Page.Clock.InstallAsync())
                        page.Go "/"
                        page.See card
                        Expect.equal (order page) [ "alpha"; "beta"; "gamma" ] "all compute"
                        finish (page.Find(".machine[data-slug=beta]").HoverAsync())
                        now.Value <- Map [ "gamma", verdict "network" "held-back" "Waits." "" ]
                        finish (page.Page.Clock.FastForwardAsync 21000L)
                        page.See ".machine[data-slug=gamma][data-label=network]"
                        finish (page.Page.Clock.RunForAsync 3000L)
                        Expect.equal (order page) [ "alpha"; "beta"; "gamma" ] "nothing has moved"
                        finish (page.Page.Mouse.MoveAsync(5f, 5f))
                        finish (page.Page.Clock.RunForAsync 3000L)
                        page.Until "document.querySelector('.machine').dataset.slug === 'gamma'"
                        finish (page.Find(".machine[data-slug=gamma] a").FocusAsync())
                        now.Value <- now.Value.Add("beta", verdict "gpu-fault" "fault" "Lost." "")
                        finish (page.Page.Clock.FastForwardAsync 21000L)
                        page.Until "document.querySelector('.machine').dataset.slug === 'beta'"

                        Expect.equal
                            (page.Value<string> "document.activeElement.closest('.machine').dataset.slug")
                            "gamma"
                            "the focus stays with its machine"))

            testCase "a table sorts by any column, groups go by a label, and the address keeps both and the search"
            <| fun () ->
                withMachines [ "alpha"; "beta"; "amber"; "brown"; "coral" ] (fun dashboard _ ->
                    visit desktop dashboard.Url (fun page ->
                        page.Go "/"
                        page.See card
                        page.Choose("select[aria-label='Group machines by a label']", "rack")

                        Expect.equal
                            (page.Value<string[]> "[...document.querySelectorAll('.group')].map(g => g.firstChild.textContent)")
                            [| "rack a"; "rack b"; "rack c" |]
                            "a heading for each rack"

                        page.Click "[data-layout=table]"
                        page.See "table.sorted tbody tr"

                        let names () =
                            page.Value<string[]> "[...document.querySelectorAll('.sorted tbody th a')].map(a => a.textContent)"
                            |> List.ofArray

                        page.Click ".sorts:has-text('Machine')"
                        Expect.equal (names ()) [ "alpha"; "amber"; "beta"; "brown"; "coral" ] "by name"
                        page.Click ".sorts:has-text('Machine')"
                        Expect.equal (names ()) [ "coral"; "brown"; "beta"; "amber"; "alpha" ] "the other way"
                        Expect.equal (page.Value<int> "document.querySelectorAll('th[aria-sort=descending]').length") 1 "said aloud"
                        page.Click ".menu summary:has-text('Columns')"
                        page.Click ".menu-list label:has-text('Labels')"
                        page.See "th:has-text('Labels')"
                        Expect.equal (AccessibilityTests.faults page) [] "the table"
                        page.Press "Escape"
                        finish (page.Find("input[type=search]").FillAsync "a rack=a")
                        page.Until "document.querySelectorAll('.sorted tbody tr').length === 2"
                        page.Click ".sorted tbody a"
                        page.See ".machine-head"
                        page.Page.GoBackAsync() |> wait |> ignore
                        page.See ".sorted tbody tr"

                        Expect.equal
                            (page.Value<string> "document.querySelector('input[type=search]').value")
                            "a rack=a"
                            "the search is still there"

                        Expect.equal (names ()) [ "amber"; "alpha" ] "and what it found, as it was sorted"))
        ]
