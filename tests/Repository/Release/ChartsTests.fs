/// The charts of a release: those of the repository with the release's version in them.
module Agent.Repository.Tests.Release.ChartsTests

open System.IO
open Agent.Build
open Agent.Build.Helm
open Agent.TestSupport
open Expecto

[<Tests>]
let tests =
    testList
        "Release charts"
        [
            testCase "the version takes the place of 0.0.0, and of nothing else"
            <| fun () ->
                Expect.equal
                    (Charts.stamp "1.2.3-dev.4+abcdef0" "image: a:0.0.0\nversion: 0.0.0\n- --listen=0.0.0.0:9835\n- 10.0.0.0/8\n")
                    "image: a:1.2.3-dev.4\nversion: 1.2.3-dev.4\n- --listen=0.0.0.0:9835\n- 10.0.0.0/8\n"
                    "stamped"

            testCase "chart, image and labels have the release's version"
            <| fun () ->
                World.withDirectory (fun directory ->
                    let written = Charts.write Fixtures.root directory "1.2.3-dev.4+abcdef0"

                    Expect.equal
                        (List.map snd written)
                        [
                            "ai-dashboard-agent-1.2.3-dev.4.tgz"
                            "ai-dashboard-1.2.3-dev.4.tgz"
                            "ai-dashboard-kustomize-1.2.3-dev.4.tar.gz"
                            "ai-dashboard-compose-1.2.3-dev.4.tar.gz"
                            "ai-dashboard-scale-1.2.3-dev.4.tar.gz"
                        ]
                        "the archives"

                    for folder, chart in KubernetesFiles.folders do
                        let chart = Chart.read (Path.Combine(directory, chart))

                        match KubernetesFiles.manifests (KubernetesFiles.releaseOf chart) (Value.Map []) chart with
                        | Error message -> failtest message
                        | Ok files ->
                            let text = files |> List.map snd |> String.concat "\n"
                            Expect.stringContains text $"{chart.Name}:1.2.3-dev.4\"" "the image"
                            Expect.stringContains text "app.kubernetes.io/version: \"1.2.3-dev.4\"" "the label"

                            for name, text in files do
                                let manifest = Path.Combine(directory, "ai-dashboard-kustomize-1.2.3-dev.4", folder, name)
                                Expect.stringEnds (File.ReadAllText manifest) text $"{folder}/{name} is the same"

                    for folder, archive in written do
                        let packed = Path.Combine(directory, archive)

                        Tools.succeed [ "SOURCE_DATE_EPOCH", "0" ] "sh" [ "packaging/archive.sh"; folder; packed ]
                        |> ignore

                        let names = (Tools.succeed [] "tar" [ "-tzf"; packed ]).Split '\n'
                        let top = Path.GetFileName folder

                        let expected =
                            if archive.EndsWith ".tgz" then
                                [ "Chart.yaml"; "values.yaml"; "templates/NOTES.txt" ]
                            elif archive.StartsWith "ai-dashboard-compose" then
                                [ "compose.yaml" ]
                            elif archive.StartsWith "ai-dashboard-scale" then
                                [
                                    "scale/compose.yaml"
                                    "scale/kubernetes/vmstorage.yaml"
                                    "kustomize/dashboard/kustomization.yaml"
                                ]
                            else
                                [ "agent/kustomization.yaml"; "dashboard/statefulset.yaml" ]

                        for name in expected do
                            Expect.contains names $"{top}/{name}" archive

                        File.Delete packed

                    for path in Directory.GetFiles(directory, "*", SearchOption.AllDirectories) do
                        Expect.isFalse
                            (System.Text.RegularExpressions.Regex.IsMatch(File.ReadAllText path, @"(?<![\d.])0\.0\.0(?![\d.])"))
                            $"{path} has no placeholder")
        ]
