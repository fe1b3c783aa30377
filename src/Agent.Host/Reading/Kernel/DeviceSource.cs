using Agent.Core;

namespace Agent.Host.Reading;

/// <summary>What the devices are: all of them once a minute, and between that those that came.</summary>
internal sealed class DeviceSource(string sysfs, AgentClock clock)
{
    /// <summary>With a thousand interfaces a look takes a tenth of a second; it may take no more than a thousandth of the time.</summary>
    private const int LongestShare = 1000;

    private static readonly TimeSpan Minute = TimeSpan.FromMinutes(1);

    private static readonly TimeSpan Shortest = TimeSpan.FromSeconds(1);

    private readonly DeviceFiles files = new(sysfs);
    private TimeSpan lookAgainAt;

    /// <summary>How long after a look at all devices the next one comes.</summary>
    public static TimeSpan Pause(TimeSpan took) => took * LongestShare > Minute ? took * LongestShare : Minute;

    /// <summary>Reads once.</summary>
    public SlowReading<Devices.Known> Read()
    {
        var begin = clock.Elapsed;
        var anew = begin >= lookAgainAt;
        var found = files.Read(anew);

        if (anew)
        {
            var end = clock.Elapsed;
            lookAgainAt = end + Pause(end - begin);
        }

        var wait = lookAgainAt - clock.Elapsed;
        return new(found, wait > Shortest ? wait : Shortest);
    }
}
